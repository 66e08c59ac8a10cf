"""Neural models: standardised labels, early stopping on the last part of the train rows, networks of `ml.networks`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import numpy.typing as npt

from ml.data.stored import arrays
from ml.errors import CaseError
from ml.models.base import Columns, Floats, Inputs, Model
from ml.networks import backend, training
from ml.networks.architectures import Design
from ml.networks.charts import PICTURE, Chart, chart_rows, draw, window_bounds
from ml.networks.sparse import sparse_indexes, through_points
from ml.networks.training import Member, Schedule, Table, Trained


class NeuralModel:
    """A network over the window with a linear output for each label.

    Args:
        seed: of the weights and the order of batches.
        units: width of a hidden layer.
        depth: number of hidden layers.
        learning_rate: of Adam.
        batch_size: rows per step.
        epochs: most epochs.
        patience: epochs without a better inner validation loss before training stops.
    """

    kind: ClassVar[str]
    #: Rows that are predicted at once.
    predict_rows: ClassVar[int] = 4096
    largest_group = 64

    def __init__(
        self,
        seed: int = 0,
        units: int = 32,
        depth: int = 1,
        learning_rate: float = 0.002,
        batch_size: int = 256,
        epochs: int = 60,
        patience: int = 6,
    ) -> None:
        self.member = Member(seed, learning_rate)
        self.units = units
        self.depth = depth
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience: int | None = patience
        self.label_mean: Floats = np.zeros(1)
        self.label_scale: Floats = np.ones(1)
        self.network: keras.Model | None = None

    @property
    def schedule(self) -> Schedule:
        """The training schedule; after `fit` with the best number of epochs."""
        return Schedule(self.batch_size, self.epochs, self.patience)

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        design, rows, targets = self._table(inputs, labels)
        self._become(design, training.train(design, self.member, rows, targets, self.schedule))

    def group_key(self) -> Hashable:
        """Models with equal keys can be trained as one group; None if that is not faster on this machine."""
        return (type(self), self.units, self.depth, self.schedule) if training.pays() else None

    def fit_group(
        self,
        models: Sequence[Model],
        columns: Sequence[Columns],
        inputs: Inputs,
        labels: Floats,
        weights: Floats | None = None,
    ) -> None:
        """Fit models with the same `group_key`, including itself, on one table in one program, without weights."""
        group = [model for model in models if isinstance(model, NeuralModel)]
        for model in group:
            design, rows, targets = model._table(inputs, labels)
        members = [replace(model.member, columns=seen) for model, seen in zip(group, columns, strict=True)]
        trained = training.train_group(design, members, rows, targets, self.schedule)
        for model, seen, result in zip(group, columns, trained, strict=True):
            model._become(design if seen is None else replace(design, columns=len(seen)), result)

    def predict_group(self, models: Sequence[Model], columns: Sequence[Columns], inputs: Inputs) -> None:
        """One by one."""

    def refit_like(self, evaluated: Model) -> None:
        """Train for the best number of epochs of the evaluated model, on all rows without early stopping."""
        assert isinstance(evaluated, NeuralModel)
        self.epochs, self.patience = evaluated.epochs, None

    def predict(self, inputs: Inputs) -> Floats:
        assert self.network is not None, "fit or load first"
        parts = [
            keras.ops.convert_to_numpy(self._forward(self._rows(inputs[start : start + self.predict_rows])))
            for start in range(0, len(inputs), self.predict_rows)
        ]
        outputs = np.concatenate(parts).astype(np.float64) * self.label_scale + self.label_mean
        return self._labels(outputs, inputs)

    def save(self, folder: Path) -> None:
        assert self.network is not None, "fit or load first"
        self.network.save(folder / "network.keras")
        np.savez(folder / "fit.npz", label_mean=self.label_mean, label_scale=self.label_scale, epochs=self.epochs)

    def load(self, folder: Path) -> None:
        self.network = keras.models.load_model(folder / "network.keras", compile=False, safe_mode=True)
        stored = arrays((folder / "fit.npz").read_bytes(), "fit.npz", ("label_mean", "label_scale", "epochs"), "")
        self.label_mean, self.label_scale = stored["label_mean"], stored["label_scale"]
        self.epochs = int(stored["epochs"])

    def _forward(self, rows: Inputs) -> Any:
        # Called directly: `Model.predict` would compile a program per network, which takes longer than running it.
        assert self.network is not None, "fit or load first"
        return self.network(rows, training=False)

    def _rows(self, inputs: Inputs) -> Inputs:
        """The network's inputs for windows (n, lags, f)."""
        return inputs

    def _outputs(self, labels: Floats, inputs: Inputs) -> Floats:
        """The network's target outputs (n, outputs) for labels (n, k)."""
        return labels

    def _labels(self, outputs: Floats, inputs: Inputs) -> Floats:
        """The reverse of `_outputs`."""
        return outputs

    def _table(self, inputs: Inputs, labels: Floats) -> tuple[Design, Table, Table]:
        rows, outputs = self._rows(inputs), self._outputs(labels, inputs)
        varies = outputs.max(axis=0) > outputs.min(axis=0)
        self.label_mean, self.label_scale = outputs.mean(axis=0), np.where(varies, outputs.std(axis=0), 1.0)
        targets = ((outputs - self.label_mean) / self.label_scale).astype(np.float32)
        design = Design(self.kind, rows.shape[1], rows.shape[2], targets.shape[1], self.units, self.depth)
        return design, rows, targets

    def _become(self, design: Design, trained: Trained) -> None:
        self.network = design.build(self.member.seed)
        for variable, values in zip(self.network.trainable_variables, trained.weights, strict=True):
            variable.assign(values)
        self.epochs = trained.epochs


class MLPModel(NeuralModel):
    """Dense layers over the flattened window."""

    kind = "mlp"


class LSTMModel(NeuralModel):
    """Long short-term memory. Source: Hochreiter and Schmidhuber (1997)."""

    kind = "lstm"


class GRUModel(NeuralModel):
    """Gated recurrent units. Source: Cho et al., Learning Phrase Representations (2014)."""

    kind = "gru"


class TemporalCNNModel(NeuralModel):
    """Dilated causal convolutions; see `ml.networks.architectures.temporal_cnn`."""

    kind = "temporal_cnn"


class MultiHorizonLSTM(NeuralModel):
    """An LSTM that predicts a few points of a long path, with linear interpolation between them.

    Args:
        points: outputs, spread evenly over the path: 10 for 100 candles are the steps 0, 11, ..., 88, 99.
        settings: as in `NeuralModel`.
    """

    kind = "lstm"

    def __init__(self, seed: int = 0, points: int = 10, **settings: Any) -> None:
        super().__init__(seed, **settings)
        self.points = points
        self.length = 0

    def group_key(self) -> Hashable:
        key = super().group_key()
        return key and (key, self.points)

    def _outputs(self, labels: Floats, inputs: Inputs) -> Floats:
        self.length = labels.shape[1]
        return labels[:, sparse_indexes(self.length, self.points)]

    def _labels(self, outputs: Floats, inputs: Inputs) -> Floats:
        return through_points(outputs, self.length)

    def save(self, folder: Path) -> None:
        super().save(folder)
        np.save(folder / "length.npy", self.length)

    def load(self, folder: Path) -> None:
        super().load(folder)
        self.length = int(np.load(folder / "length.npy", allow_pickle=False))


class ChartCNNModel(NeuralModel):
    """A convolutional network on images of candles; see `ml.networks.charts`.

    Inputs are raw windows (n, lags, 5) of open, high, low, close and volume. An image does not show the price range of
    its window, so labels are scaled by that range (as logarithm).
    """

    kind = "chart_cnn"
    predict_rows = 64
    _program: tuple[Any, Any] | None = None

    def _forward(self, rows: Inputs) -> Any:
        # Calling the layers one by one costs 60 ms per batch. A compiled program avoids this; it is compiled once for a
        # single row and once for a full part.
        if self._program is None or self._program[0] is not self.network:
            network = self.network
            assert network is not None, "fit or load first"
            forward = backend.chosen().compiled(lambda part: network(part, training=False), convolves=True)
            self._program = (network, forward)
        missing = self.predict_rows - len(rows) if len(rows) > 1 else 0
        filled = np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)])
        return self._program[1](keras.ops.convert_to_tensor(filled))[: len(rows)]

    def _rows(self, inputs: Inputs) -> Inputs:
        if inputs.shape[1] > PICTURE[0]:
            raise CaseError(f"A chart shows at most {PICTURE[0]} candles, lags are {inputs.shape[1]}. Take fewer lags.")
        return chart_rows(inputs)

    def _outputs(self, labels: Floats, inputs: Inputs) -> Floats:
        return labels / _range(inputs)

    def _labels(self, outputs: Floats, inputs: Inputs) -> Floats:
        return outputs * _range(inputs)


class ChartImageModel(ChartCNNModel):
    """The same network on images alone: what it predicts depends on no price, so an image from anywhere will do.

    Its windows are drawn before the network, and not by it, so that an image and its candles get the same prediction.
    """

    #: A compiled program takes this number of images; a last part is filled.
    image_rows: ClassVar[int] = 10

    def predict(self, inputs: Inputs) -> Floats:
        places = self._rows(inputs)
        parts = [
            self.predict_images(draw(np, places[start : start + self.predict_rows]))
            for start in range(0, len(places), self.predict_rows)
        ]
        return np.concatenate(parts)

    def predict_images(self, images: npt.NDArray[Any]) -> Floats:
        """Labels (n, k) for binary images (n, 200, 150, 3) as `ml.networks.charts.draw` makes them."""
        predicted = [
            self._forward_images(images[start : start + self.image_rows])
            for start in range(0, len(images), self.image_rows)
        ]
        return np.concatenate(predicted).astype(np.float64) * self.label_scale + self.label_mean

    def _forward_images(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._program is None or self._program[0] is not self.network:
            network = self.network
            assert network is not None, "fit or load first"
            drawn = next(layer for layer in network.layers if isinstance(layer, Chart))
            behind = keras.Model(drawn.output, network.output)
            forward = backend.chosen().compiled(
                lambda part: behind(keras.ops.cast(part, "float32"), training=False), convolves=True
            )
            self._program = (network, forward)
        # Always of one size: so an image gets the same prediction in every batch.
        filled = np.zeros((self.image_rows, *images.shape[1:]), np.uint8)
        filled[: len(images)] = images
        outputs = self._program[1](keras.ops.convert_to_tensor(filled))
        return np.asarray(keras.ops.convert_to_numpy(outputs))[: len(images)]

    def _outputs(self, labels: Floats, inputs: Inputs) -> Floats:
        return labels

    def _labels(self, outputs: Floats, inputs: Inputs) -> Floats:
        return outputs


def _range(candles: Inputs) -> Floats:
    """Logarithm (n, 1) of highest high over lowest low of windows; 1 where nothing moved."""
    bottom, top = window_bounds(candles)
    return np.where(top > bottom, np.log(top / bottom), 1.0)[:, None]
