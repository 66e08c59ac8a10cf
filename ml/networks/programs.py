"""The compiled programs of a training: one epoch, and the loss over held-out rows.

Keras' `fit` passes every batch from Python to the backend, which for small networks costs more than the arithmetic.
Here the loop over the batches is part of the program. The arithmetic is that of Keras' Adam; `fit` on the same batches
gives the same weights up to rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import keras
from keras import ops

from ml.networks import backend
from ml.networks.architectures import CONVOLVING, Design

#: Keras' defaults of Adam.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
LOSSES = {"mse": ops.square, "mae": ops.absolute}
#: Programs cached per process, a few megabytes each; a sweep works through its shapes one after the other.
KEPT = 16


class State(NamedTuple):
    """The state of a training: weights, and Adam's running means of gradients and of their squares."""

    weights: list[Any]
    means: list[Any]
    squares: list[Any]
    step: Any


class Batches(NamedTuple):
    """The rows of the batches of an epoch.

    Attributes:
        rows: (steps, batch) int32 row indexes; (steps, K, batch) for a group.
        present: of the same shape, 1 for a row and 0 for padding.
        steps: number of steps; the rest is padding to a common shape.
    """

    rows: Any
    present: Any
    steps: Any


def adam(state: State, gradients: list[Any], learning_rate: Any) -> State:
    """One step of Adam. Source: Kingma and Ba (2014), section 2, last paragraph: epsilon outside the correction."""
    step = state.step + 1
    rate = learning_rate * ops.sqrt(1 - ops.power(BETA_2, step)) / (1 - ops.power(BETA_1, step))
    means = [mean + (new - mean) * (1 - BETA_1) for mean, new in zip(state.means, gradients, strict=True)]
    squares = [old + (new * new - old) * (1 - BETA_2) for old, new in zip(state.squares, gradients, strict=True)]
    weights = [
        weight - rate * mean / (ops.sqrt(square) + EPSILON)
        for weight, mean, square in zip(state.weights, means, squares, strict=True)
    ]
    return State(weights, means, squares, step)


class Programs:
    """The programs that train networks of one design.

    Args:
        design: of the network.
        loss: "mse" or "mae", over the outputs and rows of a batch.
        grouped: whether all but the table has a leading axis of models.
    """

    def __init__(self, design: Design, loss: str, grouped: bool) -> None:
        self._machine = backend.chosen()
        # TensorFlow cannot vectorise a loop over the lags, so it is unrolled for a group.
        self._network = design.build(0, unroll=grouped)
        self._fixed = _values(self._network.non_trainable_variables)
        self._error = LOSSES[loss]
        lift = self._machine.vectorised if grouped else lambda function: function
        self._update, self._sums = lift(self._step), lift(self._loss_sums)
        convolves = design.kind in CONVOLVING
        #: (state, learning rate, mask, inputs, targets, batches) -> state after all batches.
        self.epoch = self._machine.compiled(self._epoch, convolves=convolves)
        #: (weights, mask, inputs, targets, batches) -> loss over all rows of the batches.
        self.score = self._machine.compiled(self._score, convolves=convolves)

    def _loss_sums(self, weights: list[Any], inputs: Any, targets: Any, present: Any) -> tuple[Any, Any]:
        outputs, _ = self._network.stateless_call(weights, self._fixed, inputs, training=True)
        losses = ops.mean(self._error(outputs - targets), axis=1)
        return ops.sum(losses * present), ops.sum(present)

    def _loss(self, weights: list[Any], inputs: Any, targets: Any, present: Any) -> Any:
        total, count = self._loss_sums(weights, inputs, targets, present)
        return total / count

    def _step(self, state: State, learning_rate: Any, inputs: Any, targets: Any, present: Any) -> State:
        _, gradients = self._machine.value_and_gradient(self._loss)(state.weights, inputs, targets, present)
        return adam(state, gradients, learning_rate)

    def _epoch(self, state: State, rate: Any, mask: Any, inputs: Any, targets: Any, batches: Batches) -> State:
        def body(i: Any, state: State) -> State:
            return State(*self._update(state, rate, *_batch(i, mask, inputs, targets, batches)))

        return State(*self._machine.loop(batches.steps, body, state))

    def _score(self, weights: list[Any], mask: Any, inputs: Any, targets: Any, batches: Batches) -> Any:
        def body(i: Any, sums: tuple[Any, Any]) -> tuple[Any, Any]:
            total, count = self._sums(weights, *_batch(i, mask, inputs, targets, batches))
            return sums[0] + total, sums[1] + count

        nothing = ops.zeros(batches.rows.shape[1:-1])
        total, count = self._machine.loop(batches.steps, body, (nothing, nothing))
        return total / count


def _batch(i: Any, mask: Any, inputs: Any, targets: Any, batches: Batches) -> tuple[Any, Any, Any]:
    rows = batches.rows[i]
    return ops.take(inputs, rows, axis=0) * mask, ops.take(targets, rows, axis=0), batches.present[i]


@lru_cache(maxsize=KEPT)
def programs(design: Design, loss: str, grouped: bool) -> Programs:
    """The programs of a design, cached per process and compiled once per shape of table."""
    return Programs(design, loss, grouped)


def first_state(network: keras.Model) -> State:
    """The state before the first step, with the network's own weights."""
    weights = _values(network.trainable_variables)
    means, squares = ([ops.zeros_like(weight) for weight in weights] for _ in range(2))
    return State(weights, means, squares, ops.zeros(()))


def _values(variables: list[Any]) -> list[Any]:
    """Copies of the variables' values; `convert_to_tensor` may return the variable itself."""
    return [ops.copy(variable) for variable in variables]
