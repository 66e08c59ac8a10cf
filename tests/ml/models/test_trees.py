"""Boosted trees: seeded, and able to learn a step."""

from __future__ import annotations

import numpy as np
import pytest

from ml.models import MODELS
from ml.models.base import Floats, Inputs

SMALL = {"lightgbm": {"trees": 20, "leaves": 4}, "hist_gradient_boosting": {"trees": 20, "leaves": 4}}


def noisy_step(rows: int = 1000) -> tuple[Inputs, Floats]:
    """high follows the sign of the first column, low that of the second, close is noise."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(rows, 2, 3)).astype(np.float32)
    steps = np.sign(inputs[:, 1, :2]).astype(np.float64)
    labels = np.column_stack([steps, np.zeros(rows)]) * 0.01 + random.normal(0, 0.001, (rows, 3))
    return inputs, labels


@pytest.mark.parametrize("name", SMALL)
def test_equal_seeds_give_equal_bits(name: str) -> None:
    inputs, labels = noisy_step()
    outputs = []
    for _ in range(2):
        model = MODELS[name].build(SMALL[name], 7)
        model.fit(inputs, labels)
        outputs.append(model.predict(inputs))
    np.testing.assert_array_equal(*outputs)


def test_another_seed_gives_another_lightgbm() -> None:
    inputs, labels = noisy_step()
    one, other = (MODELS["lightgbm"].build(SMALL["lightgbm"], seed) for seed in (1, 2))
    one.fit(inputs, labels)
    other.fit(inputs, labels)
    assert np.abs(one.predict(inputs) - other.predict(inputs)).max() > 0


@pytest.mark.parametrize("name", SMALL)
def test_each_label_is_learnt_by_its_own_booster(name: str) -> None:
    inputs, labels = noisy_step()
    model = MODELS[name].build(SMALL[name] | {"learning_rate": 0.3}, 0)
    model.fit(inputs[:800], labels[:800])
    error = model.predict(inputs[800:]) - labels[800:]
    # What cannot be learnt is the noise of 0.001; the step is 0.01.
    assert np.square(error).mean(axis=0) ** 0.5 == pytest.approx([0.001] * 3, rel=0.4)
