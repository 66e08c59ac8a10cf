"""Networks: the causal convolution is Keras'; the chart network has the size it is said to have."""

from __future__ import annotations

import random
import sys
import threading

import numpy as np
import pytest

pytestmark = [
    pytest.mark.usefixtures("keras_on_cpu"),
    # Keras hands out variables by numpy.array, for which they lack the keyword of NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.mark.parametrize("dilation", [1, 2])
def test_the_causal_convolution_is_that_of_keras(dilation: int) -> None:
    import keras  # noqa: PLC0415

    from ml.networks.architectures import _causal_convolution  # noqa: PLC0415

    rows = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    inputs = keras.Input((7, 3))
    ours = keras.Model(inputs, _causal_convolution(inputs, 4, dilation))
    theirs = keras.layers.Conv1D(4, 3, padding="causal", dilation_rate=dilation, activation="relu")
    theirs.build((None, 7, 3))
    kernel, bias = (variable.numpy() for variable in ours.trainable_variables)
    theirs.set_weights([kernel.reshape(3, 3, 4), bias])
    expected = keras.ops.convert_to_numpy(theirs(rows))
    assert expected.std() > 0
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(rows)), expected, rtol=0, atol=1e-5)


def test_the_chart_network_has_30_layers_with_weights_and_1_9_million_weights() -> None:
    from ml.networks.architectures import Design  # noqa: PLC0415

    network = Design("chart_cnn", 30, 5, 3, units=16, depth=4).build(0)
    assert sum(bool(layer.weights) for layer in network.layers) == 30
    assert 1_850_000 < network.count_params() < 1_950_000
    assert network.output_shape == (None, 3)


@pytest.mark.parametrize("kind", ["mlp", "lstm", "temporal_cnn"])
def test_the_first_weights_are_those_of_the_seed_whatever_other_threads_draw(kind: str) -> None:
    import keras  # noqa: PLC0415

    from ml.networks.architectures import NETWORKS, Design  # noqa: PLC0415

    design = Design(kind, lags=4, columns=3, outputs=2, units=5, depth=2)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4, 3))
    hidden = NETWORKS[kind](inputs, units=5, depth=2, unroll=False)
    quiet = keras.Model(inputs, keras.layers.Dense(2)(hidden)).get_weights()
    ended = threading.Event()

    def draw() -> None:
        while not ended.is_set():
            random.random()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        busy = [design.build(3).get_weights() for _ in range(3)]
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
    for weights in busy:
        assert all(np.array_equal(a, b) for a, b in zip(weights, quiet, strict=True))
