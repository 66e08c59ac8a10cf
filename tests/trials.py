"""Cases for the promotion gate: rows of results that were never computed, and a market with something to learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ml.data.datasets import Dataset
from ml.execution.chunks import run_case
from ml.execution.results import read_result_file, result_path, write_results
from ml.promotion.settings import PromotionSettings
from ml.search.cases import TestCase
from ml.store import Store
from ml.version import code_version
from tests.synthetic import make_case, make_dataset

SETTINGS = PromotionSettings(minimal_skill=0.01, minimal_gain=0.005, alpha=0.01, minimal_days=10)
DAYS = list(range(40))
NOISE = np.random.default_rng(0).normal(0, 0.05, 40)


def losses(mean: float, days: int = 40) -> list[float]:
    """Losses a day that differ by luck from day to day, the same luck for everybody but a tenth of it."""
    return [float(value) for value in mean + NOISE[:days] * mean]


def row(**changes: Any) -> dict[str, Any]:
    """A challenger that is clearly better than its baseline."""
    return {
        "model": "ridge",
        "worker": "host:1:2.00",
        "code_version": code_version(),
        "n_validation": 1000,
        "skill": 0.1,
        "rmse_pct": 0.9,
        "baseline": "ewma_range",
        "loss_day": DAYS,
        "loss_model": losses(0.81),
        "loss_baseline": losses(1.0),
    } | changes


def incumbent(**changes: Any) -> dict[str, Any]:
    return row(model="lightgbm", rmse_pct=0.95, skill=0.05, loss_model=losses(0.9)) | changes


def market_with_edge(rows: int = 4200, name: str = "d1") -> Dataset:
    """A market with an edge: the next return follows the last one."""
    return replace(make_dataset(rows, clustered=False, edge=0.5), id=name)


def result(case: TestCase, dataset: Dataset, store: Store) -> dict[str, Any]:
    """The result row of a case as the promotion gate gets it: read from its file, which the home has signed."""
    path = result_path(dataset.id, case.key)
    write_results(store, path, [run_case(case, dataset, "host:1:2.00", code_version())])
    return {**read_result_file(store, path)[0], "signer": ""}


REAL = PromotionSettings()
GOOD = make_case()
WORSE = make_case(features=("range_6", "range_24"))


def turned(dataset: Dataset, since: int) -> Dataset:
    """The edge turns round: what was learnt before is wrong from there on."""
    labels = dataset.labels.copy()
    edge = np.zeros_like(labels)
    edge[since:-1, 2] = 2 * dataset.features[since:-1, 2]
    labels -= edge
    labels[:, 0] = np.maximum(labels[:, 0], np.maximum(labels[:, 2], 0))
    labels[:, 1] = np.minimum(labels[:, 1], np.minimum(labels[:, 2], 0))
    return replace(dataset, labels=labels)
