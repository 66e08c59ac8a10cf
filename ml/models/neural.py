"""Neural models in Keras 3, trained on log-returns with early stopping on the last part of the train rows."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from ml.models.base import Floats, Inputs, Model

#: Share of the train rows, the latest, on which training is stopped. The validation rows are never looked at.
INNER_VALIDATION = 0.1
PREDICT_ROWS = 4096


class LSTMModel:
    """One LSTM layer over the window and a linear output of the three labels.

    Args:
        seed: of the weights and the order of batches.
        units: size of the LSTM's state.
        learning_rate: of Adam.
        batch_size: rows a step.
        epochs: at most so many.
        patience: stops after so many epochs without a better inner validation loss.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997).
    """

    def __init__(
        self,
        seed: int = 0,
        units: int = 32,
        learning_rate: float = 0.002,
        batch_size: int = 256,
        epochs: int = 60,
        patience: int = 6,
    ) -> None:
        self.seed = seed
        self.units = units
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience: int | None = patience
        self.label_mean: Floats = np.zeros(3)
        self.label_scale: Floats = np.ones(3)
        self.network: keras.Model | None = None

    def _build(self, lags: int, columns: int) -> keras.Model:
        keras.utils.set_random_seed(self.seed)
        network = keras.Sequential([keras.Input((lags, columns)), keras.layers.LSTM(self.units), keras.layers.Dense(3)])
        network.compile(optimizer=keras.optimizers.Adam(self.learning_rate), loss="mse")
        return network

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        varies = labels.max(axis=0) > labels.min(axis=0)
        self.label_mean, self.label_scale = labels.mean(axis=0), np.where(varies, labels.std(axis=0), 1.0)
        targets = ((labels - self.label_mean) / self.label_scale).astype(np.float32)
        self.network = self._build(*inputs.shape[1:])
        if self.patience is None:
            self.network.fit(inputs, targets, batch_size=self.batch_size, epochs=self.epochs, verbose=0)
            return
        cut = int(len(inputs) * (1 - INNER_VALIDATION))
        stopping = keras.callbacks.EarlyStopping(patience=self.patience, restore_best_weights=True)
        history = self.network.fit(
            inputs[:cut],
            targets[:cut],
            validation_data=(inputs[cut:], targets[cut:]),
            batch_size=self.batch_size,
            epochs=self.epochs,
            callbacks=[stopping],
            verbose=0,
        )
        self.epochs = int(np.argmin(history.history["val_loss"])) + 1

    def refit_like(self, judged: Model) -> None:
        """Train exactly as many epochs as were best for the judged model; no rows are held back then."""
        assert isinstance(judged, LSTMModel)
        self.epochs, self.patience = judged.epochs, None

    def predict(self, inputs: Inputs) -> Floats:
        assert self.network is not None, "fit or load first"
        # Called directly: `Model.predict` would compile a program for every network, longer than it takes to run.
        parts = [
            keras.ops.convert_to_numpy(self.network(inputs[start : start + PREDICT_ROWS], training=False))
            for start in range(0, len(inputs), PREDICT_ROWS)
        ]
        predicted: Floats = np.concatenate(parts).astype(np.float64) * self.label_scale + self.label_mean
        return predicted

    def save(self, folder: Path) -> None:
        assert self.network is not None, "fit or load first"
        self.network.save(folder / "network.keras")
        np.savez(folder / "fit.npz", label_mean=self.label_mean, label_scale=self.label_scale, epochs=self.epochs)

    def load(self, folder: Path) -> None:
        self.network = keras.models.load_model(folder / "network.keras", compile=False)
        with np.load(folder / "fit.npz", allow_pickle=False) as stored:
            self.label_mean, self.label_scale = stored["label_mean"], stored["label_scale"]
            self.epochs = int(stored["epochs"])
