"""Neural networks are tested on one CPU thread, where equal seeds give equal bits."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Read when TensorFlow starts its runtime, so set before any test imports it.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def keras_on_cpu() -> Iterator[None]:
    """Places every network of the test on the CPU: a GPU adds up in no fixed order."""
    import keras  # noqa: PLC0415

    with keras.device("cpu:0"):
        yield
