"""Costs: measured rates, and chunks that everybody cuts the same way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml.execution.costs import FEWEST, MOST_CASES, Costs, costs_of_dataset, cut_chunks, measured_costs
from ml.execution.results import RunInfo, result_path, result_row, write_results
from ml.models import MODELS
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import make_case

ALPHAS = [make_case(params={"alpha": float(alpha)}) for alpha in range(1, 8)]
NOTHING_MEASURED = Costs({})


def sizes(cases: Iterable[TestCase], chunk_seconds: float, done: Iterable[TestCase] = ()) -> list[int]:
    pairs = [(case, case not in done) for case in cases]
    return [len(chunk.cases) for chunk in cut_chunks("d", pairs, lambda _: 1.0, lambda: chunk_seconds)]


def store_results(store: Store, name: str, cases: Iterable[TestCase], fit_seconds: float, n_train: int) -> None:
    now = datetime(2024, 5, 1, tzinfo=UTC).replace(tzinfo=None)
    run = RunInfo("host:1:2.00", now, now, fit_seconds, 100.0, "code")
    rows = [result_row(case, "d", run, "made up") | {"status": "tested", "n_train": n_train} for case in cases]
    assert write_results(store, result_path("d", name), rows)


def test_without_results_the_rate_of_the_registry_counts() -> None:
    # 0.02 + 0.001 x (1000 x 0.6 rows x 1 lag x 3 columns) / 1e6 = 0.0200018 s.
    assert NOTHING_MEASURED.seconds(ALPHAS[0], 1000) == pytest.approx(0.0200018, rel=1e-9)
    three_seeds = make_case(model="lstm", seeds=(0, 1, 2), lags=10)
    assert NOTHING_MEASURED.seconds(three_seeds, 1000) == pytest.approx(0.02 + 1.5 * 0.018 * 3)


def test_epochs_make_a_neural_case_longer() -> None:
    short, long = (make_case(model="lstm", seeds=(0, 1, 2), params={"epochs": epochs}) for epochs in (3, 12))
    assert NOTHING_MEASURED.seconds(long, 10**6) - 0.02 == pytest.approx(
        4 * (NOTHING_MEASURED.seconds(short, 10**6) - 0.02)
    )


def test_the_median_of_what_was_measured_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    # 10,000 rows x 1 lag x 3 columns are 0.03 million values: 3 s more than the fixed part are 100 s a million.
    for name, seconds in (("a", 3.02), ("b", 3.02), ("c", 900.0)):
        store_results(store, name, ALPHAS[:3], seconds, 10_000)
    costs = measured_costs(store)
    assert costs.rates == {"ridge": pytest.approx(100.0)}
    assert costs.seconds(ALPHAS[0], 10_000) == pytest.approx(0.02 + 100 * 0.018)
    assert costs.seconds(make_case(model="lightgbm"), 10**6) == pytest.approx(0.02 + 2.0 * 1.8)


def test_a_handful_of_results_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store_results(store, "a", ALPHAS[: FEWEST - 1], 900.0, 10_000)
    assert measured_costs(store) == NOTHING_MEASURED


def test_pooled_cases_are_measured_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    columns = ("har_range_6", "har_range_day", "log_return_1")
    pooled = [
        make_case(features=columns, unit="har_range_6", pool="all", params={"alpha": 10.0**power}) for power in range(5)
    ]
    store_results(store, "a", ALPHAS[:FEWEST], 3.02, 10_000)
    store_results(store, "b", pooled, 18.02, 10_000)
    assert measured_costs(store).rates == {"ridge": pytest.approx(100.0), "ridge pooled": pytest.approx(600.0)}


def test_failed_cases_say_nothing_about_the_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    now = datetime(2024, 5, 1, tzinfo=UTC).replace(tzinfo=None)
    row = result_row(ALPHAS[0], "d", RunInfo("host:1:2.00", now, now, 77.0, 1.0, "code"), "it failed")
    write_results(store, result_path("d", "failed"), [row])
    assert measured_costs(store) == NOTHING_MEASURED


def test_the_costs_of_a_dataset_are_written_down_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert costs_of_dataset(store, "d", lambda: Costs({"ridge": 7.0})).rates == {"ridge": 7.0}
    assert costs_of_dataset(store, "d", lambda: Costs({"ridge": 9.0})).rates == {"ridge": 7.0}
    assert costs_of_dataset(store, "e", lambda: Costs({"ridge": 9.0})).rates == {"ridge": 9.0}


def test_chunks_hold_about_as_many_seconds_as_asked_for_and_lose_no_case() -> None:
    assert sizes(ALPHAS, 3.0) == [3, 3, 1]
    cut = cut_chunks("d", [(case, True) for case in ALPHAS], lambda _: 1.0, lambda: 3.0)
    assert [case for chunk in cut for case in chunk.cases] == ALPHAS


def test_a_case_longer_than_a_chunk_is_a_chunk_of_its_own() -> None:
    assert sizes(ALPHAS[:2], 0.001) == [1, 1]
    assert sizes([], 1.0) == []


def test_a_chunk_holds_one_kind_of_model() -> None:
    trees = [make_case(model="lightgbm"), make_case(model="hist_gradient_boosting")]
    pairs = [(case, True) for case in [ALPHAS[0], *trees, ALPHAS[1]]]
    cut = list(cut_chunks("d", pairs, lambda _: 1.0, lambda: 1000.0))
    assert [[MODELS[case.model].kind for case in chunk.cases] for chunk in cut] == [
        ["linear"],
        ["tree"] * 2,
        ["linear"],
    ]


def test_cases_that_are_done_move_no_cut() -> None:
    assert sizes(ALPHAS, 3.0, done=ALPHAS[:3]) == [3, 1]
    assert sizes(ALPHAS, 3.0, done=[ALPHAS[1], ALPHAS[6]]) == [2, 3]
    assert sizes(ALPHAS, 3.0, done=ALPHAS) == []


def test_a_chunk_of_very_short_cases_has_an_end() -> None:
    pairs = ((ALPHAS[0], True) for _ in range(MOST_CASES + 1))
    assert [len(chunk.cases) for chunk in cut_chunks("d", pairs, lambda _: 0.0, lambda: 1.0)] == [MOST_CASES, 1]
