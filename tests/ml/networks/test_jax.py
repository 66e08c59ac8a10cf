"""The neural models on the other backend: the same tests, in a process of their own, for Keras takes one for good."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.e2e

#: Enough of them to meet every operation. All: KERAS_BACKEND=jax python -m pytest tests/ml/networks tests/ml/models
AGENT = "tests/ml/agent/test_agent.py::test_"
TRAINING, MODELS = "tests/ml/networks/test_training.py::test_", "tests/ml/models/test_neural.py::test_"
TESTS = (
    TRAINING + "after_100_steps_the_weights_are_those_of_keras_fit[lstm-mae]",
    TRAINING + "members_of_a_group_stop_each_in_its_own_time",
    MODELS + "a_network_learns_y_equal_lag_1_and_equal_seeds_give_equal_bits[temporal_cnn]",
    MODELS + "the_chart_model_learns_from_prices_whatever_their_size",
    AGENT + "a_planted_edge_larger_than_the_fees_is_found_by_every_seed",
)


def test_the_neural_models_pass_their_tests_on_jax() -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: `make setup` brings it")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *TESTS],
        cwd=REPOSITORY,
        # Of what shortens TensorFlow's compilations (tests/ml/conftest.py), level 0 makes JAX's convolutions five times
        # as slow.
        env=os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
