"""Baselines as model families, to compare with models in a sweep.

Every result is also compared with the baselines of `ml.metrics.baselines`. The baselines ewma_range,
pooled_range and har_range are not families: they need many earlier rows, and a model sees only a window.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml.metrics.baselines import last_candle_labels
from ml.models.base import Floats, Inputs, NothingChosen


class TrainMeanModel(NothingChosen):
    """The mean label of the train rows, independent of the inputs: the baseline drift."""

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        self.mean: Floats = labels.mean(axis=0)

    def predict(self, inputs: Inputs) -> Floats:
        return np.tile(self.mean, (len(inputs), 1))

    def save(self, folder: Path) -> None:
        np.save(folder / "mean.npy", self.mean, allow_pickle=False)

    def load(self, folder: Path) -> None:
        self.mean = np.load(folder / "mean.npy", allow_pickle=False)


class LastCandleModel(NothingChosen):
    """The next candle repeats the last one's high and low. Inputs are windows of raw candles; there is no fit."""

    def fit(self, inputs: Inputs, labels: Floats) -> None: ...

    def predict(self, inputs: Inputs) -> Floats:
        return last_candle_labels(inputs[:, -1, :].astype(np.float64))

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...
