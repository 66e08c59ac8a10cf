"""The compiled epoch: Keras' `fit`, quicker; the same bits again; compiled once; groups equal to their members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ml.models.base import Inputs

pytestmark = [
    pytest.mark.usefixtures("keras_on_cpu"),
    # Keras hands out variables by numpy.array, for which they lack the keyword of NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
#: name -> (units, depth)
SMALL = {"mlp": (8, 2), "lstm": (6, 1), "gru": (6, 1), "temporal_cnn": (6, 1)}


def table(rows: int, lags: int = 4, columns: int = 3, outputs: int = 3) -> tuple[Inputs, Inputs]:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(rows, lags, columns)).astype(np.float32)
    noise = random.normal(0, 0.1, (rows, outputs))
    return inputs, (inputs[:, -2, :1] * np.arange(1, outputs + 1) + noise).astype(np.float32)


def fitted_by_keras(design: Any, inputs: Inputs, targets: Inputs, schedule: Any, learning_rate: float) -> list[Any]:
    import keras  # noqa: PLC0415

    network = design.build(5)
    network.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=schedule.loss)
    network.fit(inputs, targets, batch_size=schedule.batch_size, epochs=schedule.epochs, shuffle=False, verbose=0)
    return [variable.numpy() for variable in network.trainable_variables]


@pytest.mark.parametrize(("kind", "loss"), [("mlp", "mse"), ("lstm", "mae"), ("gru", "mse"), ("temporal_cnn", "mse")])
def test_after_100_steps_the_weights_are_those_of_keras_fit(kind: str, loss: str) -> None:
    from ml.networks.architectures import Design  # noqa: PLC0415
    from ml.networks.training import Member, Schedule, train  # noqa: PLC0415

    # 155 rows in batches of 16 are 10 steps, the last one of 11 rows.
    inputs, targets = table(155)
    design = Design(kind, 4, 3, 3, *SMALL[kind])
    schedule = Schedule(16, epochs=10, shuffle=False, loss=loss)
    theirs = fitted_by_keras(design, inputs, targets, schedule, 0.001)
    ours = train(design, Member(5, 0.001), inputs, targets, schedule)
    assert ours.epochs == 10
    untrained = [variable.numpy() for variable in design.build(5).trainable_variables]
    for mine, other, before in zip(ours.weights, theirs, untrained, strict=True):
        assert np.abs(mine - before).max() > 0.01
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("kind", ["lstm", "mlp", "gru", "temporal_cnn"])
def test_a_group_becomes_what_each_of_its_members_becomes_alone(kind: str) -> None:
    from ml.networks.architectures import Design  # noqa: PLC0415
    from ml.networks.training import Member, Schedule, train, train_group  # noqa: PLC0415

    inputs, targets = table(155)
    design = Design(kind, 4, 3, 3, *SMALL[kind])
    # Networks of two columns are one program; a single column is one more to compile, so only for the quickest.
    last = (1,) if kind == "mlp" else (1, 2)
    members = [Member(1, 0.001), Member(2, 0.002), Member(3, 0.001, columns=(0, 2)), Member(3, 0.001, columns=last)]
    schedule = Schedule(16, epochs=10)
    group = train_group(design, members, inputs, targets, schedule)
    for member, trained in zip(members, group, strict=True):
        seen = list(range(3) if member.columns is None else member.columns)
        own = replace(design, columns=len(seen))
        alone = train(own, Member(member.seed, member.learning_rate), inputs[:, :, seen], targets, schedule)
        for mine, other in zip(trained.weights, alone.weights, strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-4 * np.abs(other).max())
    assert np.abs(group[0].weights[0] - group[1].weights[0]).max() > 0.01


def test_members_of_a_group_stop_each_in_its_own_time() -> None:
    from ml.networks.architectures import Design  # noqa: PLC0415
    from ml.networks.training import Member, Schedule, train, train_group  # noqa: PLC0415

    inputs, targets = table(200)
    targets = np.random.default_rng(1).permutation(targets)
    design, schedule = Design("mlp", 4, 3, 3, 8, 1), Schedule(32, epochs=30, patience=2)
    members = [Member(seed, rate) for seed, rate in ((1, 0.05), (2, 0.002), (3, 0.02))]
    group = train_group(design, members, inputs, targets, schedule)
    alone = [train(design, member, inputs, targets, schedule) for member in members]
    assert [one.epochs for one in group] == [one.epochs for one in alone]
    assert len({one.epochs for one in group}) > 1
    for one, other in zip(group, alone, strict=True):
        np.testing.assert_allclose(one.weights[0], other.weights[0], rtol=0, atol=1e-4)


def test_a_shape_is_compiled_once_and_another_seed_or_rate_is_no_new_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.networks import programs  # noqa: PLC0415
    from ml.networks.architectures import Design  # noqa: PLC0415
    from ml.networks.training import Member, Schedule, train  # noqa: PLC0415

    traced: list[int] = []
    adam = programs.adam

    def counted(*arguments: Any) -> Any:
        traced.append(1)
        return adam(*arguments)

    monkeypatch.setattr(programs, "adam", counted)
    design = Design("mlp", 5, 2, 1, 3, 1)
    # 250 and 255 rows are filled up to 256.
    for rows, seed, rate, epochs in ((250, 0, 0.001, 3), (250, 1, 0.002, 5), (255, 2, 0.001, 2)):
        train(design, Member(seed, rate), *table(rows, 5, 2, 1), Schedule(16, epochs, patience=1))
    first = len(traced)
    train(design, Member(0, 0.001), *table(900, 5, 2, 1), Schedule(16, 1))
    # The body of a loop may be traced more than once for a program, so what counts is that only this one added any.
    assert 0 < first < len(traced) == 2 * first


def test_early_stopping_keeps_the_best_epoch_of_each() -> None:
    from ml.networks.training import Stopping  # noqa: PLC0415

    stopping = Stopping(3, patience=2)
    # The first never gets better, the second is best at epoch 2 and must not come back at epoch 5, the third goes on.
    losses = [(1.0, 2.0, 5.0), (1.0, 1.0, 4.0), (1.5, 1.2, 3.0), (1.1, 1.0, 2.0), (0.1, 0.5, 1.0)]
    improved = [stopping.improved(np.array(epoch)).tolist() for epoch in losses]
    assert improved == [
        [True] * 3,
        [False, True, True],
        [False, False, True],
        [False, False, True],
        [False, False, True],
    ]
    assert stopping.best_epoch.tolist() == [1, 2, 5]
    assert not stopping.over
    for _ in range(2):
        stopping.improved(np.array([0.0, 0.0, 9.0]))
    assert stopping.over
    assert stopping.best_epoch.tolist() == [1, 2, 5]


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    from ml.networks.training import Stopping  # noqa: PLC0415

    stopping = Stopping(1, patience=2)
    for _ in range(3):
        assert not stopping.improved(np.array([np.nan])).any()
    assert stopping.over


def test_a_keras_backend_that_cannot_compile_epochs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras  # noqa: PLC0415

    from ml.errors import ConfigurationError  # noqa: PLC0415
    from ml.networks import backend  # noqa: PLC0415

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ConfigurationError, match=r"KERAS_BACKEND is 'torch'.*tensorflow or jax"):
        backend.chosen()
