"""Forests: seeded, bounded, all labels in one, and able to learn a step."""

from __future__ import annotations

import numpy as np
import pytest

from ml.models import MODELS
from ml.models.forests import RandomForestModel
from tests.ml.models.planted import noisy_step

FORESTS = ("random_forest", "extra_trees")
SMALL = {"trees": 15, "minimal_rows_in_leaf": 10}


@pytest.mark.parametrize("name", FORESTS)
def test_equal_seeds_give_equal_bits_and_others_other_forests(name: str) -> None:
    inputs, labels = noisy_step()
    outputs = []
    for seed in (7, 7, 8):
        model = MODELS[name].build(SMALL, seed)
        model.fit(inputs, labels)
        outputs.append(model.predict(inputs))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 0


@pytest.mark.parametrize("name", FORESTS)
def test_steps_are_learnt_for_a_label_of_any_size(name: str) -> None:
    inputs, labels = noisy_step()
    # A label a thousand times larger, all noise, must not draw all the splits to itself.
    labels[:, 2] *= 1000
    model = MODELS[name].build(SMALL | {"columns": 1.0}, 0)
    model.fit(inputs[:800], labels[:800])
    error = model.predict(inputs[800:])[:, :2] - labels[800:, :2]
    # The step is 0.01, and the noise 0.001; the extra trees' random cuts blur the step.
    assert (np.square(error).mean(axis=0) ** 0.5 < 0.005).all()


@pytest.mark.parametrize("name", FORESTS)
def test_depth_and_leaves_bound_every_tree(name: str) -> None:
    inputs, labels = noisy_step()
    model = MODELS[name].build({"trees": 5, "depth": 3, "minimal_rows_in_leaf": 40}, 0)
    assert isinstance(model, RandomForestModel)
    model.fit(inputs, labels)
    for tree in model.regressor.estimators_:
        assert tree.get_depth() <= 3
        assert tree.tree_.n_node_samples.min() >= 40 * 0.5  # distinct rows; a drawn sample holds some of them twice
