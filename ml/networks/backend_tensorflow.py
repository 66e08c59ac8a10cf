"""The backend operations on TensorFlow; see `ml.networks.backend.Backend`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compiled(function: Callable[..., Any], *, convolves: bool) -> Callable[..., Any]:
    # XLA has no fast gradients of convolutions on a CPU: an epoch of the chart network takes 20 times as long with it.
    # AutoGraph would rewrite the Python source of all called functions, which is not needed here.
    program: Callable[..., Any] = tf.function(function, jit_compile=not convolves or accelerated(), autograph=False)
    return program


def loop(steps: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
    def step(i: Any, state: Any) -> tuple[Any, Any]:
        return i + 1, body(i, state)

    return tf.while_loop(lambda i, _: i < steps, step, (tf.constant(0), state))[1]


def value_and_gradient(loss: Callable[..., Any]) -> Callable[..., tuple[Any, list[Any]]]:
    def both(weights: list[Any], *rest: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            value = loss(weights, *rest)
        return value, tape.gradient(value, weights)

    return both


def vectorised(function: Callable[..., Any]) -> Callable[..., Any]:
    def mapped(*arguments: Any) -> Any:
        # The fallback would silently be a loop over the models; an error is better.
        return tf.vectorized_map(lambda one: function(*one), arguments, fallback_to_while_loop=False)

    return mapped


def accelerated() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))
