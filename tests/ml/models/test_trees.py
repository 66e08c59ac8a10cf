"""Boosted trees: seeded, able to learn a step, and readable in the form of the first artefacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.models import MODELS
from tests.ml.models.planted import noisy_step

SMALL = {"lightgbm": {"trees": 20, "leaves": 4}, "hist_gradient_boosting": {"trees": 20, "leaves": 4}}


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


def test_boosters_saved_under_the_names_of_a_candle_s_labels_are_still_read(tmp_path: Path) -> None:
    inputs, labels = noisy_step()
    model = MODELS["lightgbm"].build(SMALL["lightgbm"], 0)
    model.fit(inputs, labels)
    model.save(tmp_path)
    for k, label in enumerate(("high", "low", "close")):
        (tmp_path / f"label-{k:03}.txt").rename(tmp_path / f"{label}.txt")
    loaded = MODELS["lightgbm"].build(SMALL["lightgbm"], 0)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(inputs), model.predict(inputs))
