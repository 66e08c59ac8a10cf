"""Ridge cases of a chunk are fitted by Gram matrices, and have the results that they have alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data.datasets import Dataset, write_dataset
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.execution import grouping
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.grouping import fit_together, groups_of
from ml.execution.result_schema import METRICS
from ml.models.linear import RidgeModel
from ml.records import ResultRow
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import make_case, make_dataset, with_all_kinds

SUBSETS = (("range_24", "range_6", "return_1"), ("range_24", "return_1"), ("range_24",))
EVERY_100 = {"refit_every": 100}
VARIANTS: dict[str, dict[str, object]] = {
    "as served": {},
    "weighted": {"weights": "inverse_scale"},
    "expanding": {"walk_forward": EVERY_100, "weights": "inverse_scale"},
    "rolling": {"walk_forward": EVERY_100 | {"rolling": True}, "train_rows": 300},
    "lags": {"lags": 3},
    "first version": {"evaluation": None},
    "path": {"target": "closes_100"},
    "summary": {"target": "horizon_summary_30", "walk_forward": EVERY_100},
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return with_all_kinds(make_dataset(1500))


def cases_of(**changes: object) -> list[TestCase]:
    both = [(features, alpha) for features in SUBSETS for alpha in (1.0, 300.0)]
    return [make_case(features=features, params={"alpha": alpha}, **changes) for features, alpha in both]


def assert_equal(found: Evaluation | ResultRow, alone: Evaluation) -> None:
    row = found if isinstance(found, dict) else found.metrics | {"loss_model": found.losses}
    for name, value in alone.metrics.items():
        figure = row[name]  # type: ignore[literal-required]
        assert figure == pytest.approx(value, rel=1e-9, abs=1e-12) or (math.isnan(figure) and math.isnan(value)), name
    np.testing.assert_allclose(row["loss_model"], alone.losses, rtol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_case_has_the_result_that_it_has_alone(variant: str, dataset: Dataset) -> None:
    cases = cases_of(**VARIANTS[variant])
    assert groups_of(cases, dataset) == [tuple(cases)]
    together = fit_together(cases, dataset)
    for case in cases:
        outcome = evaluate(case, dataset, together.fit, together.predict)
        alone = evaluate(case, dataset)
        assert_equal(outcome, alone)
        assert (outcome.baseline, outcome.days, outcome.spans) == (alone.baseline, alone.days, alone.spans)
        for ours, theirs in zip(outcome.window_metrics or [], alone.window_metrics or [], strict=True):
            assert ours["skill"] == pytest.approx(theirs["skill"], rel=1e-9, abs=1e-12)


def test_a_case_that_is_skipped_does_not_disturb_the_next(dataset: Dataset) -> None:
    cases = cases_of()
    together = fit_together(cases, dataset)
    for case in (cases[1], cases[4], cases[0]):  # the last one is asked for too late
        assert_equal(evaluate(case, dataset, together.fit, together.predict), evaluate(case, dataset))


def test_only_cases_with_the_same_rows_weights_and_lags_share_a_matrix(dataset: Dataset) -> None:
    features = dataset.features.copy()
    features[100:150, dataset.places["return_1"]] = np.nan
    cases = [*cases_of(), *cases_of(weights="inverse_scale"), *cases_of(lags=2), make_case(params={"alpha": 0.0})]
    groups = groups_of(cases, replace(dataset, features=features))
    assert [len(group) for group in groups] == [4, 2, 4, 2, 4, 2, 1]
    assert len({case.key for group in groups for case in group}) == len(cases)


def test_a_chunk_stores_the_results_of_its_groups(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, store = cases_of(), Store(tmp_path)
    expected = {case.key: evaluate(case, dataset) for case in cases}
    monkeypatch.setattr(RidgeModel, "_solve", None)  # no case is fitted alone
    rows: Sequence[ResultRow] | None = run_chunk(
        store, Chunk(write_dataset(store, dataset, "code"), tuple(cases)), lease_seconds=60, code_version="code"
    )
    assert rows is not None and [row["status"] for row in rows] == ["tested"] * len(cases)
    for row in rows:
        assert_equal(row, expected[row["case_key"]])
        assert set(expected[row["case_key"]].metrics) <= set(METRICS)


def test_a_later_group_on_the_same_rows_reads_none_of_the_train_rows(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(dataset)
    fit_together(cases_of()[:4], own)
    monkeypatch.setattr(grouping, "sums_of", None)
    later = cases_of()[2:4]
    together = fit_together([*cases_of()[:2], *later], own)
    for case in later:
        assert_equal(evaluate(case, own, together.fit, together.predict), evaluate(case, own))
    with pytest.raises(TypeError):  # other weights, other sums
        fit_together(cases_of(weights="inverse_scale"), own)


def test_kept_sums_are_bounded_in_memory(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(dataset)
    monkeypatch.setattr(grouping, "KEPT_BYTES", 1)
    for lags in (1, 2, 3):
        fit_together(cases_of(lags=lags), own)
    assert len(grouping._kept[own]) == 1
