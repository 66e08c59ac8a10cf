"""The networks: what a name and a few numbers build. All layers are Keras', so that any backend runs them.

None has weights that are not trained (no batch statistics, no dropout): the state of a training is then the weights
alone, and a model of a group computes the same as one that is trained by itself.
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

#: Widths of the stages of the chart network; each halves the picture and has `CHART_BLOCKS` residual blocks.
CHART_WIDTHS = (16, 32, 64, 184)
CHART_BLOCKS = 3
#: Networks of real convolutions, which need another compiler on a CPU.
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
            # The kernels of cuDNN cannot be part of a program of XLA.
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
    """A convolution of the row itself and the rows one and two dilations before it, as one product of matrices.

    The same as ``Conv1D(units, 3, padding="causal", dilation_rate=dilation)``, which XLA trains on a CPU fifty times
    slower than this.
    """
    lags = hidden.shape[1]
    earlier = layers.ZeroPadding1D((2 * dilation, 0))(hidden)
    rows = [earlier[:, start : start + lags] for start in (0, dilation, 2 * dilation)]
    return layers.Dense(units, activation="relu")(layers.Concatenate()(rows))


def chart_cnn(inputs: Any, *, units: int, depth: int, unroll: bool) -> Any:
    """Residual convolutions over pictures that are drawn, a batch at a time, from `charts.chart_rows`.

    `units` scales the widths in sixteenths, `depth` is the number of stages: 16 and 4 make 30 layers with weights, 26
    of them on the longest way, and 1.9 million weights.
    """
    hidden = layers.Conv2D(units, 5, strides=2, padding="same", activation="relu")(Chart(*PICTURE)(inputs))
    for stage in range(depth):
        hidden = _chart_stage(hidden, CHART_WIDTHS[stage] * units // 16)
    # Not averaged over the picture: where in it a line runs is what matters.
    return layers.Flatten()(hidden)


def _chart_stage(hidden: Any, width: int) -> Any:
    for block in range(CHART_BLOCKS):
        strides = 2 if block == 0 else 1
        inner = layers.Conv2D(width, 3, strides=strides, padding="same", activation="relu")(hidden)
        # Starting from zero, a block is the identity at first: deep networks train so without batch statistics.
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
    """What decides the shape of a network, and so the program that trains it.

    Attributes:
        kind: name in `NETWORKS`.
        lags: rows of a window.
        columns: features of a row.
        outputs: values that are predicted, linear in the last hidden layer.
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
        """The network with its first weights; `unroll` writes loops over the lags out, with the same weights."""
        with _drawing_from(seed):
            inputs = keras.Input((self.lags, self.columns))
            hidden = NETWORKS[self.kind](inputs, units=self.units, depth=self.depth, unroll=unroll)
            return keras.Model(inputs, layers.Dense(self.outputs)(hidden))


_building = threading.Lock()


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Within, Keras draws the seeds of first weights from a generator of its own.

    It draws them from Python's shared one, and so do other threads (Prefect's, when it tries again), in whatever order:
    two networks of one seed then began with other weights. The numbers are those of the shared one after that seed.
    """
    with _building:
        keras.utils.set_random_seed(seed)
        shared, seed_generator.python_random = seed_generator.python_random, random.Random(seed)
        try:
            yield
        finally:
            seed_generator.python_random = shared
