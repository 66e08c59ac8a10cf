"""The plan of a rehearsal: the runs that are due, and the faults that a seed puts among them."""

from __future__ import annotations

from datetime import UTC, datetime

from flows.simulation.plan import (
    ANSWER_KINDS,
    DATA_KINDS,
    HOURLY,
    KILL_WORKER,
    NIGHTLY,
    RESTART_SERVER,
    disturbed,
    live_steps,
)
from ml.timeframes import HOUR_MS, MINUTE_MS

MIDNIGHT_MS = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp() * 1000)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def test_an_hourly_run_after_each_candle_and_a_nightly_one_a_day_in_the_order_of_time() -> None:
    steps = live_steps(MIDNIGHT_MS, 1, ["1d", "4h"])

    hours = [(MIDNIGHT_MS + 4 * n * HOUR_MS + MINUTE_MS, HOURLY) for n in range(7)]
    assert [(step.time_ms, step.deployment) for step in steps] == sorted(
        [*hours, (MIDNIGHT_MS + 80 * MINUTE_MS, NIGHTLY)]
    )
    assert [step.number for step in steps] == list(range(1, 9))
    assert str(steps[1]) == "05-01 01:20 nightly"


def test_a_week_of_4h_candles_has_42_candles_and_the_run_that_scores_the_last_one() -> None:
    steps = live_steps(MIDNIGHT_MS, 7, ["4h"])

    assert sum(step.is_night for step in steps) == 7
    assert sum(not step.is_night for step in steps) == 42 + 1


def test_the_seed_is_the_plan() -> None:
    steps = live_steps(MIDNIGHT_MS, 7, ["4h"])

    assert disturbed(steps, SYMBOLS, "1h", 3) == disturbed(steps, SYMBOLS, "1h", 3)
    assert disturbed(steps, SYMBOLS, "1h", 3) != disturbed(steps, SYMBOLS, "1h", 4)


def test_every_kind_of_fault_one_kill_and_one_restart_and_none_at_the_ends() -> None:
    for seed in range(20):
        plan = disturbed(live_steps(MIDNIGHT_MS, 1, ["4h"]), SYMBOLS, "1h", seed)

        assert {fault.kind for fault in plan.faults} == {*ANSWER_KINDS, *DATA_KINDS}
        assert sorted(step.blow for step in plan.steps if step.blow) == sorted([KILL_WORKER, RESTART_SERVER])
        hours = [step for step in plan.steps if not step.is_night]
        assert not any(step.faults or step.blow for step in (hours[0], *hours[-2:]))
        assert {kind for step in plan.steps for kind in step.faults} == {*ANSWER_KINDS, *DATA_KINDS}


def test_a_gap_hides_the_newest_closed_candle_until_the_next_run() -> None:
    plan = disturbed(live_steps(MIDNIGHT_MS, 2, ["1h"]), SYMBOLS, "1h", 0)

    for gap in (fault for fault in plan.faults if fault.kind == "gap"):
        step, after = (step for step in plan.steps if not step.is_night and step.time_ms in (gap.from_ms, gap.until_ms))
        assert gap.start_ms == step.time_ms - MINUTE_MS - HOUR_MS
        assert gap.end_ms == step.time_ms - MINUTE_MS
        assert after.time_ms == step.time_ms + HOUR_MS


def test_a_revision_is_for_good_and_of_a_candle_that_is_read_again() -> None:
    plan = disturbed(live_steps(MIDNIGHT_MS, 2, ["1h"]), SYMBOLS, "1h", 0)

    for revision in (fault for fault in plan.faults if fault.kind == "revise"):
        assert revision.until_ms is None
        assert revision.from_ms is not None and revision.start_ms is not None
        assert HOUR_MS < revision.from_ms - revision.start_ms < 24 * HOUR_MS


def test_a_rehearsal_too_short_for_faults_has_none() -> None:
    plan = disturbed(live_steps(MIDNIGHT_MS, 1, ["1d"]), SYMBOLS, "1h", 0)

    assert plan.faults == ()
    assert {step.blow for step in plan.steps} == {""}
