"""Novelty: 1 % of ordinary rows exceed the limit, strange ones do, and the measure comes back as plain arrays."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.evaluation.preparation import PreparedCase, prepare
from ml.forecasting.model_store import load_novelty
from ml.forecasting.novelty import Learnt, Novelty, novelty_of
from ml.promotion.gate import decide_promotion
from ml.store import Store
from tests.synthetic import make_case, make_dataset
from tests.trials import GOOD, REAL, market_with_edge, result


def with_columns(features: np.ndarray) -> Dataset:
    """A market with other features (n, f)."""
    columns = tuple(f"c{number:03}" for number in range(features.shape[1]))
    dataset = make_dataset(len(features))
    return replace(dataset, features=features.astype(np.float32), columns=columns, groups=("test",) * len(columns))


def correlated(rows: int, columns: int) -> Dataset:
    """Features that are mixtures of a few sources with fat tails."""
    random = np.random.default_rng(3)
    sources = random.standard_t(5, (rows, max(columns // 4, 2)))
    mixed = sources @ random.normal(size=(sources.shape[1], columns))
    return with_columns(mixed + 0.05 * random.normal(size=mixed.shape))


def measured(dataset: Dataset, lags: int = 1) -> tuple[Novelty, PreparedCase]:
    """The measure of a case on all columns that learnt from the train rows alone."""
    prepared = prepare(make_case(features=dataset.columns, lags=lags), dataset)
    novelty = novelty_of(prepared, prepared.rows("train"))
    assert novelty is not None
    return novelty, prepared


def relative(novelty: Novelty, prepared: PreparedCase, rows: np.ndarray) -> np.ndarray:
    return np.array([novelty.of_window(prepared.windows_at(np.array([row]))) for row in rows])


def test_the_distance_is_that_of_the_covariance() -> None:
    rows = np.random.default_rng(1).multivariate_normal([5, -2], [[4, 1.5], [1.5, 1]], 20_000).astype(np.float32)
    learnt = Learnt.of(rows)
    # By hand: (2, 2) from the mean is (2, 2) C^-1 (2, 2), with C^-1 = [[1, -1.5], [-1.5, 4]] / 1.75.
    expected = np.sqrt((4 - 12 + 16) / 1.75)
    assert learnt.distances(np.array([[7, 0]], np.float32))[0] == pytest.approx(expected, rel=0.03)
    assert learnt.distances(np.array([[5, -2]], np.float32))[0] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("columns", "lags"), [(10, 1), (10, 3), (300, 1)])
def test_one_percent_of_ordinary_rows_exceed_the_limit(columns: int, lags: int) -> None:
    novelty, prepared = measured(correlated(6000, columns), lags)
    unseen = np.concatenate([prepared.rows("validation"), prepared.rows("holdout")])
    assert np.mean(relative(novelty, prepared, unseen) > 1) == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("columns", [10, 300])
def test_columns_that_no_longer_belong_together_are_novel(columns: int) -> None:
    dataset = correlated(6000, columns)
    novelty, prepared = measured(dataset)
    rows = prepared.rows("holdout")[:200]
    # Every column alone is ordinary, and they come from other rows each.
    mixed = np.stack([np.roll(dataset.features[rows, at], 7 * at) for at in range(columns)], axis=1)
    assert np.mean(novelty.learnt.distances(mixed) > novelty.limit) > 0.9


def test_a_window_is_as_novel_as_its_farthest_candle() -> None:
    novelty, prepared = measured(correlated(3000, 10), lags=4)
    window = prepared.windows_at(prepared.rows("holdout")[:1])
    before = novelty.of_window(window)
    window[0, 1] += 50
    assert before < 1 < novelty.of_window(window)


def test_a_column_that_never_moved_is_novel_once_it_does() -> None:
    features = correlated(2000, 4).features.copy()
    features[:, 2] = 3.0
    novelty, prepared = measured(with_columns(features))
    window = prepared.windows_at(prepared.rows("holdout")[:1])
    assert novelty.of_window(window) < 1.5
    window[0, 0, 2] = 4.0
    assert novelty.of_window(window) > 1.5


def test_inputs_that_never_move_at_all_have_a_measure_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        novelty, prepared = measured(with_columns(np.ones((1000, 2))))
        assert novelty.of_window(prepared.windows_at(prepared.rows("holdout")[:1])) == 0


def test_raw_candles_have_no_measure() -> None:
    prepared = prepare(make_case(model="last_candle"), make_dataset(1000))
    assert novelty_of(prepared, prepared.rows("train")) is None


def test_it_is_saved_with_the_model_that_serves_and_not_with_the_frozen_one(tmp_path: Path) -> None:
    store, market = Store(tmp_path), market_with_edge()
    verdict = decide_promotion(store, market, result(GOOD, market, store), None, REAL)
    prepared = prepare(GOOD, market)
    expected = novelty_of(prepared, np.flatnonzero(prepared.usable))
    stored = load_novelty(store, str(verdict.model_id))
    assert stored is not None and expected is not None
    window = prepared.windows_at(prepared.rows("holdout")[-1:])
    assert stored.of_window(window) == expected.of_window(window) > 0
    # A model of an earlier version has none.
    assert load_novelty(store, str(verdict.frozen_model_id)) is None
