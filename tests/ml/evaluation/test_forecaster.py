"""Forecasters: every output is checked before anybody sees it, and describes a candle that can exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.data.targets import TARGETS
from ml.errors import PredictionError
from ml.evaluation.forecaster import CLIP, Ensemble, Member, Scaler, check_predictions, fit_ensemble
from ml.models.base import Floats, Inputs, Model
from tests.synthetic import make_case


class FixedModel:
    """Predicts what it was given."""

    def __init__(self, output: Floats) -> None:
        self.output = output

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Nothing to learn."""

    def refit_like(self, evaluated: Model) -> None:
        """Nothing was chosen."""

    def predict(self, inputs: Inputs) -> Floats:
        return self.output

    def save(self, folder: Path) -> None:
        """Nothing to keep."""

    def load(self, folder: Path) -> None:
        """Nothing to read."""


def member(output: Floats) -> Member:
    return Member(Scaler(np.zeros(2), np.ones(2)), FixedModel(output))


INPUTS = np.zeros((2, 1, 2), np.float32)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (np.zeros((2, 2)), r"shape \(2, 3\), was \(2, 2\)"),
        (np.zeros((1, 3)), r"shape \(2, 3\), was \(1, 3\)"),
        (np.zeros(6), r"shape \(2, 3\), was \(6,\)"),
        (np.array([[0, 0, np.nan], [0, 0, 0]]), "NaN"),
        (np.array([[0, 0, 0], [0, -np.inf, 0]]), "infinity"),
        (np.array([[1.5, 0, 0], [0, 0, 0]]), "logarithmic move of 1.5 in one candle"),
        (np.array([[0, -1e300, 0], [0, 0, 0]]), r"logarithmic move of 1e\+300 in one candle"),
    ],
)
def test_a_prediction_that_is_none_is_refused_with_its_reason(output: Floats, reason: str) -> None:
    with pytest.raises(PredictionError, match=reason):
        Ensemble((member(np.zeros((2, 3))), member(output))).predict(INPUTS)


def test_the_largest_move_that_is_believed_passes() -> None:
    check_predictions(np.array([[1.0, -1.0, 0.0]]), 1)


@pytest.mark.parametrize(
    ("target", "output", "reason"),
    [
        ("horizon_summary_30", [[1001.0, 0, 0]], "change of 1e.03 percent, at most 1000 is accepted"),
        ("closes_100", [[0.0] * 99 + [-1.5]], "logarithmic move of 1.5 within its horizon"),
        ("closes_100", [[0.0] * 3], r"Expected predictions of shape \(1, 100\), was \(1, 3\)"),
        ("highlow2", [[0.5, 1.2]], "probabilities are outside 0..1"),
        ("trade", [[0.5, 0.5, 0.5]], "do not add up to 1"),
    ],
)
def test_each_kind_of_target_has_its_own_bounds(target: str, output: list[list[float]], reason: str) -> None:
    with pytest.raises(PredictionError, match=reason):
        check_predictions(np.array(output), 1, TARGETS[target])


def test_only_candles_are_made_coherent() -> None:
    output = np.array([[-2.0, 3.0, 1.0], [0.5, 0.0, 9.0]])
    inside = member(output)
    summary = Ensemble((Member(inside.scaler, inside.model, TARGETS["horizon_summary_30"]),))
    np.testing.assert_array_equal(summary.predict(INPUTS), output)


@given(arrays(np.float64, (2, 2, 3), elements=st.floats(-1, 1)))
def test_whatever_the_members_say_the_forecast_is_a_candle_near_their_mean(outputs: Floats) -> None:
    predicted = Ensemble(tuple(member(output) for output in outputs)).predict(INPUTS)
    high, low, close = predicted.T
    assert (high >= np.maximum(close, 0)).all()
    assert (low <= np.minimum(close, 0)).all()
    mean = (outputs[0] + outputs[1]) / 2
    np.testing.assert_array_equal(close, mean[:, 2])
    possible = (mean[:, 0] >= np.maximum(mean[:, 2], 0)) & (mean[:, 1] <= np.minimum(mean[:, 2], 0))
    np.testing.assert_array_equal(predicted[possible], mean[possible])


def test_the_scaler_measures_the_last_row_of_each_window_and_clips() -> None:
    # Column 0 of the last rows: 1, 3 -> mean 2, deviation 1. Column 1: constant 0.1 (no sum of powers of two).
    windows = np.array([[[9, 0.1], [1, 0.1]], [[9, 0.1], [3, 0.1]]], np.float32)
    scaler = Scaler.of(windows)
    np.testing.assert_allclose(scaler.mean, [2, np.float32(0.1)])
    np.testing.assert_array_equal(scaler.scale, [1, 1])
    np.testing.assert_allclose(scaler.transform(windows)[:, 1], [[-1, 0], [1, 0]], atol=1e-7)
    far = np.array([[[1e6, 0.1], [-1e6, 0.1]]], np.float32)
    np.testing.assert_allclose(scaler.transform(far)[0, :, 0], [CLIP, -CLIP])


def test_a_column_that_was_constant_in_training_keeps_its_unit() -> None:
    # 576 times float32(0.1): the computed deviation is a rounding error, not 0.
    scaler = Scaler.of(np.full((576, 1, 1), 0.1, np.float32))
    assert scaler.transform(np.full((1, 1, 1), 0.3, np.float32)).item() == pytest.approx(0.2)


def test_a_committee_has_a_member_for_each_seed_and_speaks_with_their_mean() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, 1, 3)).astype(np.float32)
    labels = np.abs(random.normal(0, 0.01, (300, 3))) * [1, -1, 0]
    case = make_case(model="lightgbm", params={"trees": 3, "leaves": 4}, seeds=(1, 2, 3))
    ensemble = fit_ensemble(case, inputs, labels)
    outputs = [one.predict(inputs) for one in ensemble.members]
    assert len(outputs) == 3
    assert np.ptp(outputs, axis=0).max() > 0
    np.testing.assert_allclose(ensemble.predict(inputs), sum(outputs) / 3, atol=1e-15)
