"""Promotion over a store: the champion is defended, evaluated once, and counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.promotion.promote import decision_time_ms, promote_series, spa_p_values, trial_counts
from flows.settings import load_settings
from flows.warehouse.load import load_store
from flows.workspace.worker_keys import home_worker_key, lend
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset, write_dataset
from ml.execution.arrivals import HomeStore
from ml.execution.chunks import Chunk, run_case, run_chunk
from ml.execution.results import read_results, result_path, write_results
from ml.forecasting.chain import Chain
from ml.promotion.challengers import challenger_of
from ml.promotion.verdicts import (
    champions,
    current_champion,
    marked_machines,
    read_verdicts,
    seen_until_ms,
    why_no_champion,
)
from ml.search.cases import TestCase
from ml.signatures import SigningKey
from ml.store import Store
from ml.timeframes import DAY_MS, utc_ms
from ml.version import code_version
from tests.synthetic import SERIES, make_case, make_dataset
from tests.trials import market_with_edge, row

NOW_MS = 1_700_000_000_000
WORSE = make_case(params={"alpha": 3000.0})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, load_settings(None, {"promotion": {"minimal_days": 10}}))


def _sweep(store: Store, dataset_id: str, *cases: TestCase, key: SigningKey | None = None) -> None:
    assert run_chunk(store, Chunk(dataset_id, cases), lease_seconds=60, code_version="test", key=key) is not None


def _trials(workspace: Workspace) -> int:
    load_store(workspace)
    return trial_counts(workspace)[SERIES]


def _judge(workspace: Workspace, dataset_id: str, now_ms: int = NOW_MS) -> dict[str, Any] | None:
    made = promote_series(workspace, SERIES, dataset_id, _trials(workspace), now_ms)
    assert len(made) <= 1
    return made[0] if made else None


def test_a_good_case_becomes_champion_once_and_is_not_judged_again(workspace: Workspace) -> None:
    store = workspace.store
    dataset_id = write_dataset(store, market_with_edge(4000), "test")
    _sweep(store, dataset_id, make_case(), make_case(lags=2, features=("range_6",)))
    verdict = _judge(workspace, dataset_id)
    assert verdict is not None
    assert (verdict["decision"], verdict["n_trials"], verdict["holdout_openings"]) == ("promoted", 2, 1)
    assert champions(store, [SERIES])[SERIES]["case_key"] == make_case().key
    assert _judge(workspace, dataset_id) is None
    assert Chain(store, "verdicts").verify() == 1
    assert utc_ms(verdict["decided_at"]) == NOW_MS  # the time that was given, by the exchange's clock


def test_a_champion_that_the_sweep_no_longer_tries_is_still_defended(workspace: Workspace) -> None:
    store = workspace.store
    first = write_dataset(store, market_with_edge(4000), "test")
    _sweep(store, first, make_case())
    assert _judge(workspace, first) is not None
    # The next night's space has only a worse case: it may beat the baseline, but not the champion on the same rows.
    second = write_dataset(store, market_with_edge(4100), "test")
    _sweep(store, second, WORSE)
    verdict = _judge(workspace, second)
    # It is not even the best: the champion, computed again on the new candles, still leads.
    assert verdict is None
    assert _trials(workspace) == 2  # the cases of both nights
    assert champions(store, [SERIES])[SERIES]["case_key"] == make_case().key


def test_a_case_of_another_target_is_no_challenger(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.data import targets  # noqa: PLC0415

    monkeypatch.setitem(targets.TARGETS, "other", targets.TARGETS[targets.NEXT_CANDLE])
    store = workspace.store
    dataset = market_with_edge(4000)
    object.__setattr__(dataset, "targets", {"other": targets.TARGETS["other"].labels})
    dataset_id = write_dataset(store, dataset, "test")
    _sweep(store, dataset_id, make_case(target="other"))
    assert _judge(workspace, dataset_id) is None


def test_a_walk_forward_is_no_challenger(workspace: Workspace) -> None:
    store = workspace.store
    dataset_id = write_dataset(store, market_with_edge(4000), "test")
    _sweep(store, dataset_id, make_case(walk_forward={"refit_every": 400}))
    assert _judge(workspace, dataset_id) is None
    assert _trials(workspace) == 1


def _promote_then_challenge(workspace: Workspace, days: float) -> dict[str, Any] | None:
    """A weak champion, and so many days later a better case on newer candles."""
    store = workspace.store
    first = write_dataset(store, market_with_edge(4000), "test")
    _sweep(store, first, WORSE)
    promoted = _judge(workspace, first)
    assert promoted is not None
    assert promoted["decision"] == "promoted", promoted["reason"]
    second = write_dataset(store, market_with_edge(4400), "test")
    _sweep(store, second, WORSE, make_case())
    return _judge(workspace, second, NOW_MS + round(days * DAY_MS))


def test_a_better_case_replaces_the_champion_on_fresh_holdout_rows_and_the_old_one_stays_in_the_chain(
    workspace: Workspace,
) -> None:
    verdict = _promote_then_challenge(workspace, 8)
    assert verdict is not None
    assert verdict["decision"] == "promoted", verdict["reason"]
    assert (verdict["case_key"], verdict["incumbent_case_key"]) == (make_case().key, WORSE.key)
    earlier, later = read_verdicts(workspace.store)
    assert earlier["case_key"] == WORSE.key
    assert earlier["holdout_end"] < later["holdout_start"]
    assert (later["holdout_openings"], later["holdout_rows"]) == (2, 400)
    assert later["n_days"] >= 30


def test_a_better_case_waits_for_the_tenure_of_the_champion_and_opens_nothing(workspace: Workspace) -> None:
    verdict = _promote_then_challenge(workspace, 2)
    assert verdict is not None
    assert (verdict["decision"], verdict["rule"]) == ("refused", "minimal_tenure")
    assert (verdict["holdout_opened"], verdict["holdout_openings"]) == (False, 1)
    assert champions(workspace.store, [SERIES])[SERIES]["case_key"] == WORSE.key


def test_a_forged_result_of_the_champion_neither_guards_nor_fells_it(workspace: Workspace) -> None:
    store = workspace.store
    first = write_dataset(store, market_with_edge(4000), "test")
    _sweep(store, first, WORSE)
    assert _judge(workspace, first) is not None
    second = write_dataset(store, market_with_edge(4400), "test")
    _forge(store, second, WORSE, "rival:7:1.00", skill=0.99, rmse_pct=0.001)
    _sweep(store, second, make_case())
    verdict = _judge(workspace, second, NOW_MS + 8 * DAY_MS)
    assert verdict is not None
    assert verdict["decision"] == "promoted", verdict["reason"]


def _forge(
    store: Store, dataset_id: str, case: TestCase, worker: str, key: SigningKey | None = None, **lies: float
) -> None:
    true = run_case(case, read_dataset(store, dataset_id), worker, code_version())
    assert write_results(store, result_path(dataset_id, f"forged-{case.key}"), [true | lies], key)


def _lent(workspace: Workspace, name: str) -> SigningKey:
    return lend(workspace.home, name, "cpu", datetime.fromtimestamp(NOW_MS / 1000, UTC)).key


def test_a_forged_result_is_caught_its_machine_marked_and_the_next_best_honest_case_judged(
    workspace: Workspace,
) -> None:
    store = workspace.store
    dataset_id = write_dataset(store, market_with_edge(4000), "test")
    forged, another = make_case(lags=3, features=("return_1",)), make_case(lags=2, features=("range_6",))
    key = _lent(workspace, "evil")
    _forge(store, dataset_id, forged, "another-name:7:1.00", key, skill=0.9)
    _forge(store, dataset_id, another, "evil:8:2.00", key, skill=0.8)
    _sweep(store, dataset_id, make_case(), key=home_worker_key(workspace.home))
    caught, honest = promote_series(workspace, SERIES, dataset_id, _trials(workspace), NOW_MS)
    assert (caught["decision"], caught["rule"], caught["holdout_opened"]) == ("refused", "false_claim", False)
    assert (caught["case_key"], caught["false_claim_worker"]) == (forged.key, "evil:7:1.00")
    # The other process of that machine is not trusted either: its better reported result is skipped.
    assert (honest["case_key"], honest["decision"]) == (make_case().key, "promoted")
    assert marked_machines(read_verdicts(store), {}) == {"evil"}
    # The mark holds on other datasets too.
    second = write_dataset(store, market_with_edge(4400), "test")
    _forge(store, second, another, "evil:9:3.00", key, skill=0.8)
    assert _judge(workspace, second) is None


def test_a_false_result_in_the_name_of_an_honest_machine_marks_nobody_and_a_signed_one_its_own_key(
    workspace: Workspace,
) -> None:
    store = workspace.store
    dataset_id = write_dataset(store, market_with_edge(4000), "test")
    forged = make_case(lags=3, features=("return_1",))
    _forge(store, dataset_id, forged, "honest:7:1.00", skill=0.9)  # before the first signed result
    refused = promote_series(workspace, SERIES, dataset_id, 1, NOW_MS)[0]
    assert (refused["rule"], refused["false_claim_worker"]) == ("false_claim", None)
    assert refused["reason"].endswith("(the result is not signed: no machine is marked)")
    honest, other = _lent(workspace, "honest"), _lent(workspace, "other")
    _sweep(store, dataset_id, make_case(), key=honest)
    assert len(read_results(store, dataset_id)) == 2
    _forge(store, dataset_id, make_case(lags=2), "honest:8:1.00", skill=0.9)
    _forge(store, dataset_id, make_case(lags=4), "honest:9:1.00", other, skill=0.9)
    caught, promoted = promote_series(workspace, SERIES, dataset_id, 2, NOW_MS)
    assert caught["false_claim_worker"] == "other:9:1.00"
    assert (promoted["decision"], promoted["case_key"]) == ("promoted", make_case().key)
    assert marked_machines(read_verdicts(store), {}) == {"other"}
    assert isinstance(store, HomeStore)
    (aside,) = store.arrivals.refusals()
    assert "it is not signed, and this home has signed results" in aside.reason


def test_of_two_results_of_a_case_that_differ_both_are_named_and_the_false_one_costs_its_key(
    workspace: Workspace,
) -> None:
    store = workspace.store
    dataset_id = write_dataset(store, market_with_edge(4000), "test")
    good, bad = _lent(workspace, "good"), _lent(workspace, "bad")
    _forge(store, dataset_id, make_case(), "x:1:1.00", bad, skill=0.001, rmse_pct=5.0)  # hides the best case
    assert read_results(store, dataset_id)[0]["worker"] == "bad:1:1.00"
    _sweep(store, dataset_id, make_case(), WORSE, key=good)
    caught, promoted = promote_series(workspace, SERIES, dataset_id, _trials(workspace), NOW_MS)
    assert (caught["rule"], caught["false_claim_worker"]) == ("false_claim", "bad:1:1.00")
    assert "the results of bad:1:1.00 and good:" in caught["reason"]
    assert (promoted["decision"], promoted["case_key"]) == ("promoted", make_case().key)
    with workspace.warehouse.connect() as connection:
        machines = connection.execute("select machine from raw.results where case_key = ? order by arrival", [
            make_case().key
        ]).fetchall()  # fmt: skip
    assert machines == [("bad",), ("good",)]
    assert promote_series(workspace, SERIES, dataset_id, 2, NOW_MS) == []


def test_a_marked_machine_can_be_trusted_again_until_the_next_false_claim(workspace: Workspace) -> None:
    store, case = workspace.store, make_case(features=("return_1",))
    datasets = [write_dataset(store, market_with_edge(rows), "test") for rows in (4000, 4400)]
    key = _lent(workspace, "box")
    for dataset_id in datasets:
        _forge(store, dataset_id, case, "box:7:1.00", key, skill=0.9)
    first = _judge(workspace, datasets[0])
    assert first is not None
    assert first["rule"] == "false_claim"
    assert _judge(workspace, datasets[1]) is None

    since = datetime.fromtimestamp(NOW_MS / 1000 + 1, UTC)
    trusting = {"minimal_days": 10, "trusted_again": {"box": since}}
    trusting_again = Workspace(workspace.home, load_settings(None, {"promotion": trusting}))
    verdicts = read_verdicts(store)
    assert marked_machines(verdicts, {"box": since}) == set()
    assert marked_machines(verdicts, {"another": since}) == {"box"}
    assert marked_machines(verdicts, {"box": since - timedelta(seconds=1)}) == {"box"}
    second = _judge(trusting_again, datasets[1], NOW_MS + 2000)
    assert second is not None
    assert (second["rule"], second["settings"]["trusted_again"]) == ("false_claim", {"box": "2023-11-14T22:13:21Z"})
    assert marked_machines(read_verdicts(store), {"box": since}) == {"box"}


def test_a_case_of_a_marked_machine_is_no_challenger() -> None:
    ranked = {"status": "tested", "skill_mean_range": 0.1, "case_json": '{"target": "next_candle", "evaluation": 2}'}
    results = [
        row(case_key="a", skill=0.3, worker="evil:1:1.00", **ranked),
        row(case_key="b", skill=0.2, worker="evil-too:1:1.00", **ranked),
        row(case_key="c", worker="good:1:1.00", **ranked),
    ]
    assert [challenger_of(results, marked)["case_key"] for marked in ((), {"evil"}, {"evil", "evil-too"})] == [  # type: ignore[index]
        "a",
        "b",
        "c",
    ]
    assert challenger_of(results, (), {"a"})["case_key"] == "b"  # type: ignore[index]


@pytest.mark.parametrize(
    "broken",
    [
        {"worker": None},
        {"skill": None},
        {"loss_day": None},
        {"loss_model": [0.1]},
        {"loss_baseline": [None] * 40},
        {"case_json": "{"},
        {"case_json": "[]"},
        {"case_json": "{}"},
    ],
    ids=str,
)
def test_a_broken_claim_does_not_stop_the_others(broken: dict[str, Any]) -> None:
    ranked = {"status": "tested", "skill_mean_range": 0.1, "case_json": '{"target": "next_candle", "evaluation": 2}'}
    results = [row(case_key="a", **(ranked | {"skill": 0.9} | broken)), row(case_key="b", **ranked)]
    challenger = challenger_of(results)
    assert challenger is not None
    assert challenger["case_key"] == "b"


def _of_series(verdict: dict[str, Any]) -> dict[str, Any]:
    return {**SERIES.model_dump(), "model": "ridge", "reason": "it lost its edge", **verdict}


def _verdict(decision: str, case_key: str = "a", **values: Any) -> dict[str, Any]:
    made = {"decision": decision, "case_key": case_key, "model_id": f"m-{case_key}", "holdout_opened": False}
    return made | {"reason": "it lost its edge"} | values


def test_reviews_change_the_model_that_serves_and_retirement_ends_the_champion() -> None:
    promoted = _verdict("promoted", decided_at="2024-01-01", trained_through="t1")
    confirmed = _verdict("confirmed", model_id="refit", trained_through="t2", decided_at="2024-02-01")
    history = [promoted, _verdict("refused", "b"), confirmed]
    champion = current_champion(history)
    assert champion is not None
    assert (champion["model_id"], champion["trained_through"], champion["decided_at"]) == ("refit", "t2", "2024-01-01")
    assert champion["model_ids"] == ["m-a", "refit"]
    retired = [*history, _verdict("retired")]
    assert current_champion(retired) is None
    # What is said of a case that is not the champion changes nothing.
    assert current_champion([*retired, _verdict("confirmed")]) is None
    assert current_champion([*history, _verdict("retired", "b")]) == champion
    assert why_no_champion(SERIES, [_of_series(one) for one in [*retired, _verdict("refused", "c")]]) == (
        "its champion ridge was retired: it lost its edge"
    )
    assert why_no_champion(SERIES, [_of_series(_verdict("refused"))]).startswith("no model beats the baseline")
    again = current_champion([*retired, _verdict("promoted", "b", trained_through=None)])
    assert again is not None
    assert again["case_key"] == "b"


def test_records_from_before_spans_were_kept_have_seen_their_whole_dataset(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), make_dataset(1000)
    dataset_id = write_dataset(store, dataset, "test")
    old = _verdict("refused", holdout_opened=True, dataset_id=dataset_id, decided_at="2030-01-01T00:00:00+00:00")
    shut = _verdict("refused", dataset_id="gone", decided_at="2031-01-01T00:00:00+00:00")
    assert seen_until_ms(store, []) is None
    assert seen_until_ms(store, [shut]) is None
    assert seen_until_ms(store, [old, shut]) == dataset.open_time_ms[-1]
    gone = old | {"dataset_id": "gone"}
    assert seen_until_ms(store, [gone, old]) == utc_ms("2030-01-01T00:00:00+00:00")
    new = old | {"holdout_end": "2022-01-01T00:00:00+00:00"}
    assert seen_until_ms(store, [new, shut]) == utc_ms("2022-01-01T00:00:00+00:00")


def test_the_p_value_of_the_whole_search_is_told_where_it_is_known(workspace: Workspace) -> None:
    with workspace.warehouse.connect() as connection:
        connection.execute(
            "insert into raw.significance by name select * from (values ('d1', 'a', 0.02), ('d1', 'b', 0.02), "
            "('d2', 'a', null)) as t (dataset_id, case_key, spa_p_value)"
        )
    assert spa_p_values(workspace) == {"d1": 0.02}


def test_the_court_sits_at_the_time_of_the_newest_load(workspace: Workspace) -> None:
    with workspace.warehouse.connect() as connection:
        connection.execute(
            "insert into raw.loads by name select * from (values (1, timestamp '2024-01-02 03:00:00'), "
            "(2, timestamp '2024-01-02 04:00:00')) as t (load_id, started_at)"
        )
    assert decision_time_ms(workspace) == utc_ms("2024-01-02T04:00:00")
