"""The network architectures, built from a name and a few sizes. All layers are from Keras, so any backend runs them.

None has non-trainable weights (no batch statistics, no dropout): the weights are then the whole state of a training,
and a model computes the same in a group as alone.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers
from keras.src.random import seed_generator

from ml.networks.charts import PICTURE, Chart

#: Widths of the stages of the chart network; each halves the image and has `CHART_BLOCKS` residual blocks.
CHART_WIDTHS = (16, 32, 64, 184)
CHART_BLOCKS = 3
#: Networks with convolution layers, which XLA compiles badly on a CPU.
CONVOLVING = frozenset({"chart_cnn"})


def mlp(inputs: Any, *, units: int, depth: int, unroll: bool) -> Any:
    """Dense layers over the whole window."""
    hidden = layers.Flatten()(inputs)
    for _ in range(depth):
        hidden = layers.Dense(units, activation="relu")(hidden)
    return hidden


def _recurrent(layer: Callable[..., Any]) -> Callable[..., Any]:
    def network(inputs: Any, *, units: int, depth: int, unroll: bool) -> Any:
        hidden = inputs
        for level in range(depth):
            # cuDNN kernels cannot be part of an XLA program.
            hidden = layer(units, return_sequences=level < depth - 1, unroll=unroll, use_cudnn=False)(hidden)
        return hidden

    return network


def temporal_cnn(inputs: Any, *, units: int, depth: int, unroll: bool) -> Any:
    """Residual blocks of two causal convolutions each, whose dilation doubles from block to block.

    Source: Bai, Kolter and Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks (2018).
    """
    hidden = layers.Dense(units)(inputs)
    for block in range(depth):
        inner = _causal_convolution(_causal_convolution(hidden, units, 2**block), units, 2**block)
        hidden = layers.Add()([hidden, inner])
    return hidden[:, -1]


def _causal_convolution(hidden: Any, units: int, dilation: int) -> Any:
    """A causal convolution of width 3 as one matrix product.

    Equivalent to ``Conv1D(units, 3, padding="causal", dilation_rate=dilation)``, which XLA trains fifty times slower on
    a CPU.
    """
    lags = hidden.shape[1]
    earlier = layers.ZeroPadding1D((2 * dilation, 0))(hidden)
    rows = [earlier[:, start : start + lags] for start in (0, dilation, 2 * dilation)]
    return layers.Dense(units, activation="relu")(layers.Concatenate()(rows))


def chart_cnn(inputs: Any, *, units: int, depth: int, unroll: bool) -> Any:
    """Residual convolutions over images that are drawn, one batch at a time, from `charts.chart_rows`.

    `units` scales the widths in sixteenths, `depth` is the number of stages: 16 and 4 give 30 layers with weights, 26
    of them on the longest path, and 1.9 million weights.
    """
    hidden = layers.Conv2D(units, 5, strides=2, padding="same", activation="relu")(Chart(*PICTURE)(inputs))
    for stage in range(depth):
        hidden = _chart_stage(hidden, CHART_WIDTHS[stage] * units // 16)
    # No global pooling: the position of a line in the image matters.
    return layers.Flatten()(hidden)


def _chart_stage(hidden: Any, width: int) -> Any:
    for block in range(CHART_BLOCKS):
        strides = 2 if block == 0 else 1
        inner = layers.Conv2D(width, 3, strides=strides, padding="same", activation="relu")(hidden)
        # Initialised with zeros, a block is at first the identity: so deep networks train without batch statistics.
        inner = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(inner)
        short = layers.Conv2D(width, 1, strides=2, padding="same")(hidden) if strides == 2 else hidden
        hidden = layers.Activation("relu")(layers.Add()([short, inner]))
    return hidden


NETWORKS: dict[str, Callable[..., Any]] = {
    "mlp": mlp,
    "lstm": _recurrent(layers.LSTM),
    "gru": _recurrent(layers.GRU),
    "temporal_cnn": temporal_cnn,
    "chart_cnn": chart_cnn,
}


@dataclass(frozen=True)
class Design:
    """The shape of a network, which determines the program that trains it.

    Attributes:
        kind: name in `NETWORKS`.
        lags: rows of a window.
        columns: features of a row.
        outputs: number of predicted values, linear in the last hidden layer.
        units: width of a hidden layer.
        depth: number of hidden layers, blocks or stages.
    """

    kind: str
    lags: int
    columns: int
    outputs: int
    units: int
    depth: int

    def build(self, seed: int, *, unroll: bool = False) -> keras.Model:
        """The network with its initial weights; `unroll` unrolls loops over the lags, with the same weights."""
        with drawing_from(seed):
            inputs = keras.Input((self.lags, self.columns))
            hidden = NETWORKS[self.kind](inputs, units=self.units, depth=self.depth, unroll=unroll)
            return keras.Model(inputs, layers.Dense(self.outputs)(hidden))


_building = threading.Lock()


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """In this context, Keras draws the seeds of initial weights from a private generator.

    By default it uses Python's global generator, like other threads (such as Prefect's retries), so that two networks
    with the same seed could get different weights. The numbers are those of the global generator after that seed.
    """
    with _building:
        keras.utils.set_random_seed(seed)
        shared, seed_generator.python_random = seed_generator.python_random, random.Random(seed)
        try:
            yield
        finally:
            seed_generator.python_random = shared
