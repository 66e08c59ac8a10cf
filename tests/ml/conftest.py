"""Models are tested as a worker runs them: one thread a library, and networks on the CPU, so that bits are equal."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Read when OpenMP and TensorFlow are loaded, so set before any test imports them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of the time of a small network is its compilation: half of it is saved.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")


@pytest.fixture
def keras_on_cpu() -> Iterator[None]:
    """Places every network of the test on the CPU: a GPU adds up in no fixed order."""
    import keras  # noqa: PLC0415

    with keras.device("cpu:0"):
        yield
