"""The baseline that any family has to beat on any target: the mean of what it saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml.models.base import Floats, Inputs, NothingChosen


class TrainMeanModel(NothingChosen):
    """The mean label of the train rows, whatever the inputs."""

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        self.mean: Floats = labels.mean(axis=0)

    def predict(self, inputs: Inputs) -> Floats:
        return np.tile(self.mean, (len(inputs), 1))

    def save(self, folder: Path) -> None:
        np.save(folder / "mean.npy", self.mean, allow_pickle=False)

    def load(self, folder: Path) -> None:
        self.mean = np.load(folder / "mean.npy", allow_pickle=False)
