"""Groups: cases that are alike are trained in one program, and their results are those of each one alone."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.datasets import Dataset, write_dataset
from ml.evaluation.evaluate import evaluate
from ml.execution import chunks
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.grouping import Together, fit_together, groups_of
from ml.execution.leases import acquire_lease, release
from ml.execution.limits import EXIT_AT_LIMIT, CaseLimits
from ml.execution.results import read_results
from ml.search.cases import TestCase, WalkForward
from ml.store import Store
from tests.synthetic import FEATURES, make_case, make_dataset

pytestmark = pytest.mark.usefixtures("keras_on_cpu")
Groups = list[tuple[int, int]]
DATASET = make_dataset(1000)


def network(rate: float = 0.01, **changes: object) -> TestCase:
    params = {"units": 4, "learning_rate": rate, "epochs": 3}
    return make_case(**{"model": "mlp", "params": params, "seeds": (1, 2), **changes})


ALIKE = [network(), network(0.03), network(seeds=(5,)), network(features=FEATURES[:1]), network(features=FEATURES[:2])]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    """As on a machine where groups pay; fills with the members and columns of each one that is trained."""
    from ml.networks import training  # noqa: PLC0415

    seen: Groups = []
    together = training.train_group

    def noted(design: Any, members: Any, *rest: Any) -> Any:
        seen.append((len(members), design.columns))
        return together(design, members, *rest)

    monkeypatch.setattr(training, "train_group", noted)
    monkeypatch.setattr(training, "pays", lambda: True)
    return seen


def assert_as_alone(
    cases: Sequence[TestCase], dataset: Dataset, together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml.networks import training  # noqa: PLC0415

    grouped = [evaluate(case, dataset, together.fit, together.predict) for case in cases]
    monkeypatch.setattr(training, "pays", lambda: False)
    for case, outcome in zip(cases, grouped, strict=True):
        alone = evaluate(case, dataset)
        np.testing.assert_allclose(outcome.losses, alone.losses, rtol=1e-4)
        assert outcome.metrics["rmse_pct"] == pytest.approx(alone.metrics["rmse_pct"], rel=1e-5)
        assert len(outcome.per_seed) == len(case.seeds)
    assert len({outcome.metrics["rmse_pct"] for outcome in grouped}) == len(cases)


def test_cases_that_differ_in_seeds_rates_and_features_are_one_group(groups: Groups) -> None:
    shallower = network(params={"units": 4, "learning_rate": 0.01, "epochs": 3, "depth": 1})
    others = [shallower, network(lags=2), network(train_rows=500), make_case()]
    cases = [*ALIKE[:2], *others, *ALIKE[2:]]
    assert groups_of(cases, DATASET) == [tuple(ALIKE), *[(case,) for case in others]]


def test_without_a_gpu_every_case_stands_alone() -> None:
    assert groups_of(ALIKE, DATASET) == [(case,) for case in ALIKE]


def test_a_group_has_a_largest_size(groups: Groups) -> None:
    cases = [network(seeds=tuple(range(k, k + 30))) for k in range(5)]
    assert [len(group) for group in groups_of(cases, DATASET)] == [2, 2, 1]
    assert groups_of([network(seeds=tuple(range(100)))], DATASET) == [(network(seeds=tuple(range(100))),)]


def test_a_group_gives_each_case_the_result_that_it_has_alone(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(1000)
    together = fit_together(ALIKE, dataset)
    assert groups == [(9, 3)]
    assert_as_alone(ALIKE, dataset, together, monkeypatch)
    assert groups == [(9, 3)]


def test_a_walk_forward_is_grouped_fit_by_fit(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, walk = make_dataset(1000), WalkForward(refit_every=100)
    cases = [network(rate, seeds=(1,), walk_forward=walk) for rate in (0.01, 0.03)]
    together = fit_together(cases, dataset)
    assert groups == [(2, 3), (2, 3)]
    assert_as_alone(cases, dataset, together, monkeypatch)


def test_cases_that_learn_from_other_rows_share_no_table(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(1000)
    features = dataset.features.copy()
    features[100:150, FEATURES.index("return_1")] = np.nan
    dataset = replace(dataset, features=features)
    cases = [network(), network(0.03), network(features=FEATURES[1:2])]
    assert groups_of(cases, dataset) == [tuple(cases[:2]), tuple(cases[2:])]


def results(store: Store, dataset_id: str) -> dict[str, str]:
    rows = read_results(store, dataset_id)
    found = {row["case_key"]: row["error"] or row["status"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_chunk_trains_its_groups_and_each_case_has_its_share_of_the_time(
    groups: Groups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[float] = []

    def timed(cases: Sequence[TestCase], dataset: Dataset) -> Together:
        started = time.perf_counter()
        together = fit_together(cases, dataset)
        spent.append(time.perf_counter() - started)
        return together

    monkeypatch.setattr(chunks, "fit_together", timed)
    store = Store(tmp_path)
    missing = network(features=("gone",))
    chunk = Chunk(write_dataset(store, make_dataset(1000), "code"), (*ALIKE, missing, make_case()))
    started = time.perf_counter()
    rows = run_chunk(store, chunk, lease_seconds=60, code_version="code")
    elapsed = time.perf_counter() - started
    assert rows is not None
    assert groups == [(9, 3)]
    assert {row["case_key"] for row in rows} == {case.key for case in chunk.cases}
    outcomes = results(store, chunk.dataset_id)
    assert outcomes.pop(missing.key).endswith("lacks gone. Run `candleworks export` again.")
    assert set(outcomes.values()) == {"tested"}
    seconds = {row["case_key"]: row["fit_seconds"] for row in rows}
    assert all(seconds[case.key] > spent[0] / len(ALIKE) for case in ALIKE)
    assert spent[0] < sum(seconds.values()) < elapsed


def test_when_a_group_fails_its_cases_are_done_one_by_one(
    groups: Groups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> Together:
        raise MemoryError("no more on the GPU")

    monkeypatch.setattr(chunks, "fit_together", too_large)
    store = Store(tmp_path)
    chunk = Chunk(write_dataset(store, make_dataset(1000), "code"), tuple(ALIKE[:3]))
    assert run_chunk(store, chunk, lease_seconds=60, code_version="code")
    # The seeds of a case are a group of their own.
    assert groups == [(2, 3), (2, 3), (1, 3)]
    assert set(results(store, chunk.dataset_id).values()) == {"tested"}


def test_a_chunk_that_was_lost_is_done_one_by_one(groups: Groups, tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = Chunk(write_dataset(store, make_dataset(1000), "code"), tuple(ALIKE[:2]))
    lost = acquire_lease(store, chunk.id, "another-machine:1:100.00", time.time(), 60)
    assert lost is not None
    release(store, lost)
    assert run_chunk(store, chunk, lease_seconds=60, code_version="code")
    assert groups == [(2, 3), (2, 3)]


def _work(prepare: Callable[[], None], store_url: str, dataset_id: str, cases: Sequence[TestCase]) -> None:
    prepare()
    limits = CaseLimits(seconds=1)
    run_chunk(Store(store_url), Chunk(dataset_id, tuple(cases)), lease_seconds=60, code_version="code", limits=limits)


def _hang_in_groups() -> None:
    def hang(*_: object) -> Together:
        time.sleep(60)
        raise AssertionError

    chunks.groups_of = lambda cases, dataset: [(cases[0],), tuple(cases[1:])]  # type: ignore[attr-defined]
    chunks.fit_together = hang  # type: ignore[attr-defined]


def test_a_group_at_a_limit_is_left_and_no_case_of_it_is_blamed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cases = [make_case(params={"alpha": alpha}) for alpha in (1.0, 2.0, 3.0)]
    dataset_id = write_dataset(store, make_dataset(1000), "code")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.ml.poison"])
    codes = []
    done = []
    for _ in range(2):
        process = context.Process(target=_work, args=(_hang_in_groups, store.url, dataset_id, cases))
        process.start()
        process.join(60)
        codes.append(process.exitcode)
        done.append(results(store, dataset_id))
    assert codes == [EXIT_AT_LIMIT, 0]
    assert done == [{cases[0].key: "tested"}, {case.key: "tested" for case in cases}]
