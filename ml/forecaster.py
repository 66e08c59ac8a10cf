"""Forecasters: fitted models with the scalers they were fitted with; what is judged, saved and served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.cases import TestCase
from ml.errors import PredictionError
from ml.models import MODELS
from ml.models.base import Inputs, Model
from ml.targets import Floats, coherent

#: Standardised inputs further out are cut off: one flash crash must not throw a linear model off the scale.
CLIP = 8.0


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and standard deviation (f,) of the train rows."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of(cls, train: Inputs) -> Scaler:
        """Measure windows (n, lags, f); a constant column keeps the scale 1."""
        latest = train[:, -1, :].astype(np.float64)
        # The deviation of a constant that is no sum of powers of two is not 0 but a rounding error.
        varies = latest.max(axis=0) > latest.min(axis=0)
        return cls(mean=latest.mean(axis=0), scale=np.where(varies, latest.std(axis=0), 1.0))

    def transform(self, inputs: Inputs) -> Inputs:
        """Standardise and clip windows (n, lags, f)."""
        scaled = (inputs - self.mean.astype(np.float32)) / self.scale.astype(np.float32)
        return np.clip(scaled, -CLIP, CLIP)


@dataclass(frozen=True, eq=False)
class Member:
    """One model, of one seed, behind its scaler."""

    scaler: Scaler
    model: Model

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, 3) for raw windows (n, lags, f), checked for shape, NaN, infinity and size."""
        predicted = np.asarray(self.model.predict(self.scaler.transform(inputs)), dtype=np.float64)
        check_predictions(predicted, len(inputs))
        return predicted


@dataclass(frozen=True, eq=False)
class Committee:
    """The members of a case's seeds; its forecast is their mean, so that no lucky seed is served."""

    members: tuple[Member, ...]

    def predict(self, inputs: Inputs) -> Floats:
        """Coherent labels (n, 3) for raw windows (n, lags, f).

        Raises:
            PredictionError: a member's output has another shape, is not finite or is no candle.
        """
        return coherent(np.mean([member.predict(inputs) for member in self.members], axis=0))


def check_predictions(predicted: Floats, rows: int) -> None:
    """Refuse what is no prediction.

    Raises:
        PredictionError: naming the reason: shape, NaN, infinity or size.
    """
    if predicted.shape != (rows, 3):
        raise PredictionError(f"Expected predictions of shape ({rows}, 3), was {predicted.shape}. Mend the model.")
    if np.isnan(predicted).any():
        raise PredictionError("The model predicted NaN. Lower its learning rate or check its features.")
    if np.isinf(predicted).any():
        raise PredictionError("The model predicted infinity. Lower its learning rate or check its features.")
    largest = float(np.abs(predicted).max(initial=0.0))
    if largest > 1.0:
        raise PredictionError(
            f"The model predicted a logarithmic move of {largest:.3g} in one candle, at most 1 is believed. "
            "Check its features."
        )


def fit_member(case: TestCase, seed: int, inputs: Inputs, labels: Floats, judged: Member | None = None) -> Member:
    """Fit scaler and model on rows in time order.

    Args:
        case: names the model and its parameters.
        seed: of everything random in the fit.
        inputs: raw windows (n, lags, f).
        labels: (n, 3).
        judged: for the refit of a champion on all rows, the member as it was judged.
    """
    scaler = Scaler.of(inputs)
    model = MODELS[case.model].build(case.params, seed)
    if judged is not None:
        model.refit_like(judged.model)
    model.fit(scaler.transform(inputs), np.asarray(labels))
    return Member(scaler, model)


def fit_committee(case: TestCase, inputs: Inputs, labels: Floats, judged: Committee | None = None) -> Committee:
    """Fit one member for each seed of the case; `judged` as in `fit_member`."""
    earlier = judged.members if judged else (None,) * len(case.seeds)
    return Committee(
        tuple(fit_member(case, seed, inputs, labels, one) for seed, one in zip(case.seeds, earlier, strict=True))
    )
