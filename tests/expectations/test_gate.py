"""The gate on hand-made batches: which rule is named, what is kept, when a market stops."""

from __future__ import annotations

import string
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from expectations import suite
from expectations.gate import _faults, check_batch
from expectations.report import GateReport
from expectations.rules import RULES, Rule
from ml.errors import CandleDataError
from ml.timeframes import HOUR_MS
from tests.expectations.frames import HOURLY, START_MS, candles, end_ms, plain_broken_rows


@pytest.fixture(autouse=True)
def without_great_expectations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expectations.gate.broken_rows", plain_broken_rows)


@pytest.fixture
def with_great_expectations(without_great_expectations: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each rule that needs no other rows, and for what a whole report says."""
    monkeypatch.setattr("expectations.gate.broken_rows", suite.broken_rows)


def gate(frame: pd.DataFrame, **options: object) -> GateReport:
    if "now_ms" not in options:
        options["now_ms"] = end_ms(frame)
    return check_batch(frame, HOURLY, **options)  # type: ignore[arg-type]


def faults(report: GateReport) -> list[str]:
    return report.quarantined["rule"].tolist()


@pytest.mark.usefixtures("with_great_expectations")
def test_a_clean_batch_passes_every_rule_and_stays_as_it_is() -> None:
    frame = candles(50)
    report = gate(frame)
    pd.testing.assert_frame_equal(report.good, frame)
    assert report.failed_rules == [] and not report.stopped and report.reason == ""
    assert len(report.quarantined) == 0 and len(report.checks) == len(RULES)
    assert report.check("high_below_low").rows_checked == 50
    # Rules without what they need say so instead of passing silently.
    assert report.check("shifted_stamps").detail == "not checked: no reference"
    assert report.check("swapped_volumes").rows_checked == 0
    states = {check.rule: check.state for check in report.checks}
    assert states["high_below_low"] == "passed" and states["volume_unit"] == "not applicable"
    assert {state for rule, state in states.items() if report.check(rule).rows_checked == 0} == {"not applicable"}


BREAKS = {
    "missing_value": ("volume", np.nan, "no number in: volume"),
    "not_finite": ("volume", np.inf, "volume inf"),
    "price_not_positive": ("low", -1.0, "low -1"),
    "negative_volume": ("volume", -2.0, "volume -2"),
    "high_below_low": ("high", 1.0, "high 1 low"),
    "open_outside_range": ("open", 150.0, "open 150"),
    "close_outside_range": ("close", 60.0, "close 60"),
}


@pytest.mark.usefixtures("with_great_expectations")
@pytest.mark.parametrize("rule", BREAKS)
def test_one_broken_value_is_named_and_kept_in_quarantine_without_stopping_the_market(rule: str) -> None:
    column, value, text = BREAKS[rule]
    frame = candles(50)
    frame.loc[20, column] = value
    report = gate(frame)
    assert len(report.good) == 49 and len(report.quarantined) == 1 and not report.stopped
    row = report.quarantined.iloc[0]
    assert rule in row["rule"].split(",") and text in row["detail"]
    assert row["open_time"] == frame.loc[20, "open_time"]
    check = report.check(rule)
    assert (check.success, check.severity, check.rows_checked, check.rows_failed) == (False, "error", 50, 1)


@pytest.mark.usefixtures("with_great_expectations")
def test_a_row_with_several_faults_stands_once_in_quarantine() -> None:
    frame = candles(50)
    frame.loc[7, ["high", "volume"]] = [1.0, -1.0]
    report = gate(frame)
    assert faults(report) == ["negative_volume,high_below_low,open_outside_range,close_outside_range"]
    assert report.quarantined["detail"].iloc[0].count(";") == 3


def test_a_missing_open_time_and_text_for_a_number_are_missing_values() -> None:
    frame = candles(50).astype({"close": object})
    frame.loc[3, "open_time"] = pd.NaT
    frame.loc[4, "close"] = "n/a"
    report = gate(frame)
    assert faults(report) == ["missing_value", "missing_value"]
    assert report.quarantined["detail"].tolist() == ["no number in: open_time", "no number in: close"]


def test_a_single_candle_off_the_time_grid_is_quarantined_and_many_stop_the_market() -> None:
    frame = candles(50)
    frame.loc[10, "open_time"] += pd.Timedelta(minutes=5)
    assert faults(gate(frame)) == ["off_raster"]
    late = candles(50, start_ms=START_MS + 60_000)
    report = gate(late)
    assert report.stopped and report.good.empty and len(report.quarantined) == 50
    assert report.reason == "50 of 50 candles are bad (more than 20% stop a market): off_raster in 50"


def test_when_a_batch_stops_its_sound_rows_are_kept_too_and_say_why() -> None:
    frame = candles(10)
    frame.loc[[1, 4, 6], "volume"] = -1.0  # 3 of 10 rows: more than a fifth, and at least three
    report = gate(frame)
    assert report.stopped and report.good.empty
    assert faults(report).count("batch_stopped") == 7 and faults(report).count("negative_volume") == 3


def test_one_bad_candle_of_a_short_update_does_not_stop_but_nothing_good_at_all_does() -> None:
    frame = candles(3)
    frame.loc[0, "volume"] = -1.0
    assert not gate(frame).stopped
    assert gate(frame.head(1)).stopped


def test_the_unfinished_candle_is_left_out_and_never_stops_a_market() -> None:
    frame = candles(2)
    report = gate(frame, now_ms=end_ms(frame) - 1)  # the last candle closes in one millisecond
    assert faults(report) == ["unfinished_candle"] and len(report.good) == 1
    alone = gate(frame.tail(1), now_ms=end_ms(frame) - 1)
    assert not alone.stopped and alone.good.empty


def test_candles_that_open_after_now_are_named() -> None:
    frame = candles(50)
    report = gate(frame, now_ms=end_ms(frame) - HOUR_MS)  # the moment the last one opens
    assert faults(report) == ["unfinished_candle"]
    report = gate(frame, now_ms=end_ms(frame) - HOUR_MS - 1)
    assert faults(report) == ["unfinished_candle", "future_candle"]


def test_descending_rows_are_sorted_and_reported() -> None:
    frame = candles(50)
    report = gate(frame.iloc[::-1])
    pd.testing.assert_frame_equal(report.good, frame)
    assert report.failed_rules == ["not_ascending"]
    assert report.check("not_ascending").severity == "warning"


def test_a_stale_batch_is_a_warning_and_is_kept() -> None:
    frame = candles(50)
    assert gate(frame, now_ms=end_ms(frame) + 2 * HOUR_MS).failed_rules == []
    report = gate(frame, now_ms=end_ms(frame) + 5 * HOUR_MS)
    assert report.failed_rules == ["stale"] and len(report.good) == 50
    assert "closed 5 timeframes ago" in report.check("stale").detail


def test_identical_copies_keep_one() -> None:
    frame = candles(50)
    twice = pd.concat([frame, frame.tail(25)], ignore_index=True).sort_values("open_time", kind="stable")
    report = gate(twice)
    pd.testing.assert_frame_equal(report.good, frame)
    assert faults(report) == ["repeated_open_time"] * 25 and not report.stopped
    assert report.quarantined["detail"].iloc[0] == "identical copy of a candle that is kept"


def test_of_differing_copies_the_coherent_then_the_larger_volume_wins() -> None:
    frame = candles(50)
    smaller, broken = frame.iloc[[20]].copy(), frame.iloc[[30]].copy()
    smaller["volume"] /= 2
    smaller["high"] = smaller[["open", "close"]].max(axis=1)
    broken["volume"] *= 3
    broken["high"] = 1.0
    report = gate(pd.concat([frame, smaller, broken], ignore_index=True))
    pd.testing.assert_frame_equal(report.good, frame)
    assert report.quarantined["rule"].tolist()[0] == "unfinished_candle,repeated_open_time"
    assert "conflicting_copies" in report.quarantined["rule"].tolist()[1]


def test_two_markets_under_one_key_stop() -> None:
    frame = candles(50)
    other = frame.assign(**{column: frame[column] * 1.5 for column in ("open", "high", "low", "close")})
    report = gate(pd.concat([frame, other], ignore_index=True))
    assert report.stopped and "conflicting_copies" in report.reason


def quiet(frame: pd.DataFrame, rows: list[int], price: float | None = None) -> pd.DataFrame:
    """Nobody trades in some candles, so they stand at the close before (or at a price); the next opens there."""
    frame = frame.copy()
    for row in rows:
        close = float(frame.loc[row - 1, "close"]) if price is None and row else price
        frame.loc[row, ["open", "high", "low", "close"]] = frame.loc[row, "open"] if close is None else close
        frame.loc[row, "volume"] = 0.0
        if price is None and row + 1 in frame.index:
            frame.loc[row + 1, "open"] = frame.loc[row, "close"]
            frame.loc[row + 1, "high"] = max(frame.loc[row + 1, ["open", "high"]])
            frame.loc[row + 1, "low"] = min(frame.loc[row + 1, ["open", "low"]])
    return frame


QUIET = {
    "alone": [12],
    "run": [12, 13, 14, 15],
    "first": [0, 1],
    "last": [48, 49],
    "every other": list(range(1, 50, 2)),
    "nine of ten, as in a young market": [row for row in range(50) if row % 10],
}


@pytest.mark.parametrize("case", QUIET)
def test_candles_without_a_trade_are_candles(case: str) -> None:
    frame = quiet(candles(50), QUIET[case])
    report = gate(frame)
    pd.testing.assert_frame_equal(report.good, frame)
    assert not report.stopped and report.check("filler_candle").state == "passed"


def test_a_quiet_run_beside_missing_candles_fills_an_outage() -> None:
    frame = quiet(candles(50), [5, 12, 13, 14, 30, 31, 40])
    for missing, fillers in (([15, 16], [12, 13, 14]), ([11], [12, 13, 14]), ([10], []), ([32, 39], [30, 31, 40])):
        report = gate(frame.drop(missing))
        assert report.quarantined["open_time"].tolist() == frame.loc[fillers, "open_time"].tolist()
        assert set(faults(report)) <= {"filler_candle"} and not report.stopped
        check = report.check("filler_candle")
        assert check.severity == "error" and check.success == (not fillers)


def test_the_gap_may_lie_in_the_candles_before() -> None:
    frame = quiet(candles(50), [20, 21, 22, 23])
    assert faults(gate(frame.iloc[22:], previous=frame.iloc[:22])) == []
    assert faults(gate(frame.iloc[22:], previous=frame.iloc[:19])) == ["filler_candle"] * 2  # 19 .. 21 missing
    assert faults(gate(frame.iloc[22:], previous=frame.iloc[:22].drop(19))) == ["filler_candle"] * 2
    assert faults(gate(frame.iloc[22:])) == [], "the begin of the data is no gap"


@pytest.mark.parametrize("factor", [0.5, 0.99, 1.001, 1.5, 3.0])
def test_without_a_trade_the_price_cannot_move(factor: float) -> None:
    frame = candles(50)
    frame = quiet(frame, [12], price=float(frame.loc[11, "close"]) * factor)
    report = gate(frame)
    assert "false_filler" in faults(report)[0].split(",") or faults(report) == ["outlier_candle"]
    assert len(report.good) == 49 and not report.stopped


def scaled(frame: pd.DataFrame, row: int, factor: float) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[row, ["open", "high", "low", "close"]] *= factor
    return frame


def test_a_candle_ten_times_off_is_an_outlier_unless_the_next_one_confirms_it() -> None:
    frame = candles(50)
    assert faults(gate(scaled(frame, 25, 10))) == ["outlier_candle"]
    stays = frame.copy()
    stays.loc[25:, ["open", "high", "low", "close"]] *= 10
    report = gate(stays)
    assert len(report.good) == 50 and report.failed_rules == ["open_jump"]
    # the newest candle has no successor yet and waits
    assert faults(gate(scaled(frame, 49, 10))) == ["outlier_candle"]


def test_the_jump_is_measured_from_the_candles_stored_before() -> None:
    frame = candles(50)
    stored, update = frame.head(49), scaled(frame, 49, 0.1).tail(1)
    assert faults(gate(update)) == []
    assert faults(gate(update, previous=stored)) == ["outlier_candle"]
    naive = stored.assign(open_time=stored["open_time"].dt.tz_localize(None))  # as DuckDB gives it
    assert faults(gate(update, previous=naive)) == ["outlier_candle"]
    assert faults(gate(update, previous=stored.head(40))) == [], "a gap lies between: no neighbour"


def test_a_false_open_is_far_from_its_own_close_and_from_its_neighbour() -> None:
    frame = candles(50)
    for row, factor in ((0, 3.0), (20, 3.0), (20, 0.3)):
        broken = frame.copy()
        broken.loc[row, "open"] *= factor
        broken.loc[row, "high"] = max(broken.loc[row, "high"], broken.loc[row, "open"])
        broken.loc[row, "low"] = min(broken.loc[row, "low"], broken.loc[row, "open"])
        assert faults(gate(broken)) == ["false_open"]


def test_an_empty_batch_is_no_fault() -> None:
    report = gate(candles(3).head(0), now_ms=START_MS)
    assert not report.stopped and report.good.empty and report.quarantined.empty
    assert list(report.quarantined.columns)[-2:] == ["rule", "detail"]
    assert {check.rows_checked for check in report.checks} == {0}
    assert {row["state"] for row in report.check_rows()} == {"not applicable"}


def test_a_rule_counts_the_rows_that_it_could_look_at() -> None:
    frame = candles(50).assign(quote_volume=np.nan)
    assert gate(frame).check("swapped_volumes").state == "not applicable", "the column is there but empty"
    frame.loc[7, "quote_volume"] = frame.loc[7, "close"] * frame.loc[7, "volume"]
    assert (check := gate(frame).check("swapped_volumes")).state == "passed" and check.rows_checked == 1
    alone = gate(candles(1))
    assert alone.check("open_jump").state == "not applicable" and alone.check("missing_value").state == "passed"
    frame["volume"] = np.nan
    report = gate(frame)
    assert report.check("negative_volume").state == "not applicable" and report.check("missing_value").state == "failed"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_an_error_quarantines_and_a_warning_never_does(rule: Rule) -> None:
    """By name: a measure frame in which one row breaks one rule."""
    frame = gate(candles(12)).measures
    names, _ = _faults({rule.name: np.array([3])}, frame.assign(**_details(rule, frame)))
    assert names.tolist() == ["", "", "", rule.name if rule.severity == "error" else "", *[""] * 8]
    assert rule.severity == "error" or not rule.stops


def _details(rule: Rule, frame: pd.DataFrame) -> dict[str, str]:
    wanted = [name for _, name, _, _ in string.Formatter().parse(rule.detail) if name]
    return {name: "x" for name in wanted if name not in frame}


@pytest.mark.parametrize("moment", [pd.NaT, pd.Timestamp("1700-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC")])
def test_open_times_of_any_age_are_named(moment: pd.Timestamp) -> None:
    frame = candles(30)
    frame.loc[:4, "open_time"] = moment
    report = gate(frame, now_ms=START_MS + 30 * HOUR_MS)
    kept = {True: 25, False: 26}[moment is pd.NaT or moment.year == 2200]
    assert len(report.good) == kept and len(report.quarantined) == 30 - kept
    frame["open_time"] = moment
    assert len(gate(frame, now_ms=START_MS).quarantined) == 30, "thirty copies that contradict each other, or no time"


def test_a_frame_without_volume_or_with_numbers_for_times_is_refused() -> None:
    with pytest.raises(CandleDataError, match="batch has no column volume"):
        gate(candles(3).drop(columns="volume"), now_ms=START_MS)
    numbers = candles(3).assign(open_time=[1, 2, 3])
    with pytest.raises(CandleDataError, match="holds numbers"):
        gate(numbers, now_ms=START_MS)


def test_an_expectation_that_raises_is_a_program_error_and_not_bad_data() -> None:
    frame = gate(candles(5)).measures.drop(columns="raster_offset_ms")
    with pytest.raises(suite.BrokenExpectationError, match="off_raster"):
        suite.broken_rows(frame)


@pytest.mark.e2e
def test_importing_the_gate_does_not_import_great_expectations() -> None:
    code = "import sys, expectations.gate, expectations.docs; print('great_expectations' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.usefixtures("with_great_expectations")
def test_later_batches_cost_little_and_sixty_thousand_rows_about_a_second() -> None:
    gate(candles(10))
    started = time.process_time()
    for seed in range(5):
        gate(candles(1_000, seed=seed))
    assert (time.process_time() - started) / 5 < 1.0  # measured 0.16 s
    started = time.process_time()
    assert len(gate(candles(60_000)).good) == 60_000
    assert time.process_time() - started < 3.0  # measured 0.3 s
