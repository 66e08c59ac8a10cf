"""Novelty: how far the inputs of a forecast are from the rows that its model learnt from.

The measure is the Mahalanobis distance of the standardised inputs from the mean of those rows; a window has that of its
farthest row. The covariance is shrunk towards a multiple of the identity, so that hundreds of correlated columns can be
inverted. It is given relative to a limit that 1 % of ordinary rows exceed: above 1 the inputs are unlike those learnt
from, and the model extrapolates.

Source: Mahalanobis, On the generalised distance in statistics (1936); Ledoit and Wolf, A well-conditioned estimator for
large-dimensional covariance matrices (2004).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.evaluation.forecaster import Scaler
from ml.evaluation.preparation import PreparedCase
from ml.evaluation.units import Units
from ml.metrics.scorer import Rows
from ml.models import MODELS
from ml.models.base import Inputs

#: Share of ordinary rows below the limit.
ORDINARY = 0.99


@dataclass(frozen=True, eq=False)
class Learnt:
    """The distribution of the rows that a model learnt from.

    Attributes:
        scaler: their mean and standard deviation.
        mean: (f,) of the standardised and clipped rows.
        precision: (f, f) inverse of their covariance.
    """

    scaler: Scaler
    mean: Floats
    precision: Floats

    @classmethod
    def of(cls, rows: npt.NDArray[np.float32]) -> Learnt:
        """Measure rows (n, f)."""
        from sklearn.covariance import LedoitWolf  # noqa: PLC0415 - not needed to serve

        scaler = Scaler.of(rows[:, None, :])
        fitted = LedoitWolf().fit(scaler.transform(rows).astype(np.float64))
        return cls(scaler, fitted.location_, fitted.precision_)

    def distances(self, rows: npt.NDArray[np.float32]) -> Floats:
        """Mahalanobis distances (n,) of rows (n, f)."""
        apart = self.scaler.transform(rows) - self.mean
        squared: Floats = np.einsum("nf,nf->n", apart @ self.precision, apart)
        # Rounding may leave a tiny negative number.
        return np.sqrt(np.maximum(squared, 0.0))


@dataclass(frozen=True, eq=False)
class Novelty:
    """The novelty measure of a served model.

    Attributes:
        learnt: the rows that it learnt from.
        limit: the distance that 1 % of ordinary rows exceed.
        units: of the rows; None for raw ones.
    """

    learnt: Learnt
    limit: float
    units: Units | None = None

    def of_window(self, window: Inputs) -> float:
        """Distance of a raw window (1, lags, f) over the limit: at most 1 is ordinary."""
        shown = window if self.units is None else self.units.ratios(window)
        return float(self.learnt.distances(shown[0]).max() / self.limit)

    def to_bytes(self) -> bytes:
        """An .npz archive of plain arrays."""
        file = io.BytesIO()
        scaler = self.learnt.scaler
        np.savez(
            file,
            scaler_mean=scaler.mean,
            scaler_scale=scaler.scale,
            mean=self.learnt.mean,
            precision=self.learnt.precision,
            limit=np.array(self.limit),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, units: Units | None = None) -> Novelty:
        """The measure that `to_bytes` packed, of a case with these units."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            scaler = Scaler(stored["scaler_mean"], stored["scaler_scale"])
            return cls(Learnt(scaler, stored["mean"], stored["precision"]), float(stored["limit"]), units)


def novelty_of(prepared: PreparedCase, everything: Rows) -> Novelty | None:
    """The novelty measure of a model that learnt from `everything`; None for a family that takes raw candles.

    The limit is measured out of sample: the rows of validation and holdout against those of the train part. Prices of
    raw candles grow without end, so that a distance between them means nothing.
    """
    if MODELS[prepared.case.model].inputs == "candles":
        return None
    unseen = np.concatenate([prepared.rows("validation"), prepared.rows("holdout")])
    train = Learnt.of(_latest(prepared, prepared.rows("train")))
    farthest = np.max([train.distances(_latest(prepared, unseen, back)) for back in range(prepared.case.lags)], axis=0)
    limit = float(np.quantile(farthest, ORDINARY))
    # Inputs that never change have the distance 0; a limit of 0 could not be divided by.
    learnt = Learnt.of(_latest(prepared, everything))
    return Novelty(learnt, max(limit, np.finfo(float).tiny), Units.of(prepared.case))


def _latest(prepared: PreparedCase, rows: Rows, back: int = 0) -> npt.NDArray[np.float32]:
    """Inputs (len(rows), f) in the units of the case, `back` candles before the last of windows that end at rows."""
    lags, units = prepared.case.lags, Units.of(prepared.case)
    place = lags - 1 - back
    if units is not None:
        return units.ratios(prepared.windows_at(rows))[:, place]
    latest: npt.NDArray[np.float32] = prepared.inputs[rows - lags + 1, place]
    return latest
