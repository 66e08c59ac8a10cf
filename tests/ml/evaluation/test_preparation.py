"""Preparation: which rows a case learns from, and what its model is shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from ml.errors import CaseError
from ml.evaluation.evaluate import evaluate, fit_and_evaluate
from ml.evaluation.preparation import prepare
from ml.evaluation.walk_forward import folds_of
from ml.forecasting.model_store import load_model, save_model
from ml.metrics.conformal import BandScores
from ml.models.linear import RidgeModel
from ml.search.cases import EVALUATION
from ml.store import Store
from tests.classifying import registered
from tests.synthetic import make_case, make_dataset

DATASET = make_dataset(1500)


def test_only_the_latest_train_rows_are_learnt_from() -> None:
    everything, some = prepare(make_case(), DATASET), prepare(make_case(train_rows=200), DATASET)
    np.testing.assert_array_equal(some.rows("train"), everything.rows("train")[-200:])
    latest = folds_of(everything)[0].train[-200:]
    np.testing.assert_array_equal(folds_of(some)[0].train, latest)
    np.testing.assert_array_equal(some.rows("validation"), everything.rows("validation"))
    evaluation, _, ensemble = fit_and_evaluate(make_case(train_rows=200), DATASET)
    assert evaluation.n_train == 200
    scaler = ensemble.members[0].scaler
    assert scaler is not None
    train = some.windows_at(latest)[:, -1].astype(np.float64)
    np.testing.assert_allclose(scaler.mean, train.mean(axis=0), rtol=1e-12)


def test_the_baselines_learn_from_all_rows_else_few_train_rows_would_make_them_weak() -> None:
    labels = DATASET.labels.copy()
    labels[:500] *= 3
    changed = dataclasses.replace(DATASET, labels=labels)

    def difference(evaluation: int | None) -> float:
        case = make_case(train_rows=200, evaluation=evaluation)
        before, after = (evaluate(case, dataset).metrics["skill_mean_range"] for dataset in (DATASET, changed))
        return abs(after - before)

    # The EWMA forgets. In the first version the mean range of 200 rows never knew the first 500.
    assert difference(None) < 1e-9
    assert difference(EVALUATION) > 0.01
    few, all_rows = (folds_of(prepare(make_case(train_rows=rows), DATASET))[0].baseline for rows in (200, None))
    np.testing.assert_array_equal(few, all_rows)


def test_fewer_train_rows_than_say_anything_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 100"):
        make_case(train_rows=99)


def test_a_family_that_looks_at_candles_is_shown_them_raw(tmp_path: Path) -> None:
    with registered("chart_test", RidgeModel, kinds=frozenset({"candle"}), inputs="candles") as model:
        case = make_case(model=model, lags=3)
        evaluation, prepared, ensemble = fit_and_evaluate(case, DATASET)
        window = prepared.windows_at(np.array([700]))
        np.testing.assert_array_equal(window[0], DATASET.candles[698:701].astype(np.float32))
        assert ensemble.members[0].scaler is None
        assert evaluation.n_train == prepared.split.train[1] + 3 - 29  # har_range needs 30 candles
        save_model(Store(tmp_path), "m", case, ensemble, BandScores(np.empty(0), None), {})
        _, loaded, _ = load_model(Store(tmp_path), "m")
        np.testing.assert_array_equal(loaded.predict(window), ensemble.predict(window))


def test_features_are_no_part_of_a_case_that_looks_at_candles() -> None:
    with registered("chart_test", RidgeModel, kinds=frozenset({"candle"}), inputs="candles") as model:
        case, other = make_case(model=model), make_case(model=model, features=("range_6",), feature_set="range")
        assert case == other and case.key == other.key
        assert case.features == ()
        assert case.input_columns == ("open", "high", "low", "close", "volume")
    with pytest.raises(ValidationError, match="ridge learns from features, but there is none"):
        make_case(features=())


def test_a_target_that_the_dataset_lacks_is_named() -> None:
    with pytest.raises(CaseError, match=r"no labels of 'horizon_summary_30'. Run `candleworks export`"):
        prepare(make_case(target="horizon_summary_30"), DATASET)
