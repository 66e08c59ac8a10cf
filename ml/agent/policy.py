"""The policy: a network from the window and the position to the odds of each action and the value of the state.

Two hidden layers: the first one sees the window alone, so it is computed for all candles at once; the position enters
in the second one, which `ml.agent.environment` computes candle by candle.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from ml.agent.environment import STATE, Head
from ml.data.targets import Floats
from ml.networks import backend
from ml.networks.architectures import drawing_from
from ml.networks.programs import State, adam, first_state

#: Rows whose windows are computed at once: always as many, so that a row's bits do not depend on the number of rows.
ROWS = 2048
#: Deviation of the first weights of the outputs: all actions are equally probable at first.
FIRST_OUTPUTS = 0.01
#: Weight of the squared error of the value.
VALUE_WEIGHT = 0.5


class Shape(NamedTuple):
    """Sizes of a policy: rows and columns of a window, width of its layers, number of actions."""

    window: int
    columns: int
    units: int
    actions: int


class Learning(NamedTuple):
    """Numbers of an update: see `ml.agent.settings.AgentSettings`."""

    learning_rate: Any
    clip: Any
    entropy: Any


class Samples(NamedTuple):
    """Decisions to learn from, m of them.

    Attributes:
        rows: (m,) int32, at whose close.
        states: (m, 3) inputs about the position.
        actions: (m,) int32.
        log_probability: (m,) when they were chosen.
        advantages: (m,) with mean 0 and deviation 1.
        returns: (m,) that the value is to predict.
    """

    rows: Any
    states: Any
    actions: Any
    log_probability: Any
    advantages: Any
    returns: Any


class Policy:
    """The network of a shape, with its programs; it has no weights of its own."""

    def __init__(self, shape: Shape) -> None:
        self._machine = backend.chosen()
        self._shape = shape
        self._network, self._encoder = _networks(shape, 0)
        places = {id(variable): place for place, variable in enumerate(self._network.trainable_variables)}
        self._encoded = [places[id(one)] for one in self._encoder.trainable_variables]
        self._head = [place for place in range(len(places)) if place not in self._encoded]
        self._encode = self._machine.compiled(self._encode_rows, convolves=False)
        #: (state, table, samples, order (steps, batch), learning) -> state after all batches.
        self.update = self._machine.compiled(self._update, convolves=False)

    def first_state(self, seed: int) -> State:
        """The state of a training before its first step."""
        return first_state(_networks(self._shape, seed)[0])

    def hidden(self, weights: list[Any], table: npt.NDArray[np.float32]) -> Floats:
        """Inputs (n, units) of the second layer from the windows of a table (n, columns); of unknown windows 0."""
        window, n = self._shape.window, len(table)
        padded = np.concatenate([np.zeros((window - 1, table.shape[1]), np.float32), table])
        parts = []
        for start in range(0, n, ROWS):
            part = np.zeros((ROWS + window - 1, table.shape[1]), np.float32)
            rows = padded[start : start + len(part)]
            part[: len(rows)] = rows
            parts.append(ops.convert_to_numpy(self._encode(weights, ops.convert_to_tensor(part))))
        hidden: Floats = np.concatenate(parts)[:n].astype(np.float64)
        return hidden

    def head(self, weights: list[Any]) -> Head:
        """The weights of the second layer."""
        return Head(*(ops.convert_to_numpy(weights[place]).astype(np.float64) for place in self._head))

    def _encode_rows(self, weights: list[Any], part: Any) -> Any:
        return self._outputs(self._encoder, [weights[place] for place in self._encoded], self._windows(part, _last()))

    def _windows(self, table: Any, rows: Any) -> Any:
        """Windows of a padded table (n + window - 1, columns) that end at rows of the table."""
        return ops.take(table, rows[:, None] + np.arange(self._shape.window, dtype=np.int32), axis=0)

    @staticmethod
    def _outputs(network: keras.Model, weights: list[Any], inputs: Any) -> Any:
        return network.stateless_call(weights, [], inputs, training=True)[0]

    def _loss(self, weights: list[Any], table: Any, samples: Samples, learning: Learning) -> Any:
        """The loss of proximal policy optimisation.

        Source: Schulman et al., Proximal Policy Optimization Algorithms (2017), equations 7 and 9.
        """
        inputs = [self._windows(table, samples.rows), samples.states]
        outputs = self._outputs(self._network, weights, inputs)
        odds = ops.log_softmax(outputs[:, :-1], axis=1)
        chosen = ops.sum(odds * ops.one_hot(samples.actions, self._shape.actions), axis=1)
        ratio = ops.exp(chosen - samples.log_probability)
        clipped = ops.clip(ratio, 1 - learning.clip, 1 + learning.clip)
        gain = ops.mean(ops.minimum(ratio * samples.advantages, clipped * samples.advantages))
        entropy = -ops.mean(ops.sum(ops.exp(odds) * odds, axis=1))
        error = ops.mean(ops.square(outputs[:, -1] - samples.returns))
        return VALUE_WEIGHT * error - gain - learning.entropy * entropy

    def _update(self, state: State, table: Any, samples: Samples, order: Any, learning: Learning) -> State:
        def body(i: Any, state: State) -> State:
            batch = Samples(*(ops.take(one, order[i], axis=0) for one in samples))
            _, gradients = self._machine.value_and_gradient(self._loss)(state.weights, table, batch, learning)
            return adam(State(*state), gradients, learning.learning_rate)

        return State(*self._machine.loop(order.shape[0], body, state))


def _last() -> Any:
    return np.arange(ROWS, dtype=np.int32)


def _networks(shape: Shape, seed: int) -> tuple[keras.Model, keras.Model]:
    """The whole network, and its part that sees the window."""
    with drawing_from(seed):
        window, state = keras.Input((shape.window, shape.columns)), keras.Input((STATE,))
        first = layers.Dense(shape.units, activation="relu")(layers.Flatten()(window))
        seen = layers.Dense(shape.units)(first)
        second = layers.Activation("tanh")(layers.Add()([seen, layers.Dense(shape.units, use_bias=False)(state)]))
        first_outputs = keras.initializers.RandomNormal(stddev=FIRST_OUTPUTS)
        outputs = layers.Dense(shape.actions + 1, kernel_initializer=first_outputs)(second)
        return keras.Model([window, state], outputs), keras.Model(window, seen)


@lru_cache(maxsize=4)
def policy_of(shape: Shape) -> Policy:
    """The policy of a shape, cached per process and compiled once."""
    return Policy(shape)
