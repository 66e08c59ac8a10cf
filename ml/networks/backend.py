"""The operations that `keras.ops` lacks, from the backend that Keras runs on; one module per backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import keras

from ml.errors import ConfigurationError

MODULES = {"tensorflow": "ml.networks.backend_tensorflow", "jax": "ml.networks.backend_jax"}


class Backend(Protocol):
    """The interface of a backend module."""

    def compiled(self, function: Callable[..., Any], *, convolves: bool) -> Callable[..., Any]:
        """The function as one program, compiled once per set of argument shapes, with XLA if that is faster."""

    def loop(self, steps: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        """``for i in range(steps): state = body(i, state)`` inside a compiled function; `steps` may be a tensor."""

    def value_and_gradient(self, loss: Callable[..., Any]) -> Callable[..., tuple[Any, list[Any]]]:
        """``loss(weights, ...)`` -> its value, and its gradient for each of the weights."""

    def vectorised(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with an additional leading axis on all arguments and results."""

    def accelerated(self) -> bool:
        """Whether networks are placed on a GPU or TPU."""


def chosen() -> Backend:
    """The module of Keras' backend.

    Raises:
        ConfigurationError: Keras runs on a backend without such a module.
    """
    name = keras.backend.backend()
    if name not in MODULES:
        raise ConfigurationError(f"KERAS_BACKEND is {name!r}; networks train on {' or '.join(MODULES)}. Set it to one.")
    return cast(Backend, importlib.import_module(MODULES[name]))
