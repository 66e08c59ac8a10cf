"""The backend operations on JAX; see `ml.networks.backend.Backend`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def compiled(function: Callable[..., Any], *, convolves: bool) -> Callable[..., Any]:
    program: Callable[..., Any] = jax.jit(function)
    return program


def loop(steps: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
    # Not lax.scan: the number of steps is an argument, so that one program works for tables of many lengths.
    return jax.lax.fori_loop(0, steps, body, state)


def value_and_gradient(loss: Callable[..., Any]) -> Callable[..., tuple[Any, list[Any]]]:
    both: Callable[..., tuple[Any, list[Any]]] = jax.value_and_grad(loss)
    return both


def vectorised(function: Callable[..., Any]) -> Callable[..., Any]:
    mapped: Callable[..., Any] = jax.vmap(function)
    return mapped


def accelerated() -> bool:
    return bool(jax.default_backend() != "cpu")
