"""Training of one network, or of a group in parallel: batches, epochs, early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from ml.networks import backend
from ml.networks.architectures import Design
from ml.networks.programs import Batches, State, first_state, programs

#: Share of the train rows, the latest, used for early stopping. The validation rows of a case are never used.
INNER_VALIDATION = 0.1
Table = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Member:
    """The settings that may differ between the networks of a group.

    Attributes:
        seed: of the initial weights and of the order of the rows.
        learning_rate: of Adam.
        columns: of the table that it uses, the inputs of its network. None for all.
    """

    seed: int
    learning_rate: float
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Schedule:
    """The training schedule.

    Attributes:
        batch_size: rows per step.
        epochs: most epochs.
        patience: epochs without a better loss on the latest rows, which are then not trained on, before training stops
            with the weights of the best epoch. None trains on all rows for all epochs.
        shuffle: new order of the rows in each epoch.
        loss: "mse" or "mae".
    """

    batch_size: int
    epochs: int
    patience: int | None = None
    shuffle: bool = True
    loss: str = "mse"


@dataclass(frozen=True)
class Trained:
    """Weights in the order of the network's variables, and their number of epochs."""

    weights: list[Table]
    epochs: int


def train(design: Design, member: Member, inputs: Table, targets: Table, schedule: Schedule) -> Trained:
    """Train one network on windows (n, lags, f) in time order and targets (n, outputs)."""
    return _train(design, (member,), inputs, targets, schedule, grouped=False)[0]


def train_group(
    design: Design, members: Sequence[Member], inputs: Table, targets: Table, schedule: Schedule
) -> list[Trained]:
    """Train networks of one design on one table in one program; the results equal those of `train` up to rounding.

    A member that uses only some columns computes with all of them: the others are masked with 0, and so their weights
    stay 0. A member that stops early is computed until all have stopped, without effect. See `pays` for when a group is
    faster.

    Args:
        design: as wide as the table.
        members: the settings that differ.
        inputs: windows (n, lags, f) in time order.
        targets: (n, outputs).
        schedule: of all members.
    """
    return _train(design, members, inputs, targets, schedule, grouped=True)


def pays() -> bool:
    """Whether a group is faster than one network after the other: on a GPU, which one small network leaves mostly idle.

    A CPU core gains nothing.
    """
    return backend.chosen().accelerated()


def _train(
    design: Design,
    members: Sequence[Member],
    inputs: Table,
    targets: Table,
    schedule: Schedule,
    *,
    grouped: bool,
) -> list[Trained]:
    def together(each: Sequence[Any], axis: int = 0) -> Any:
        return np.stack(each, axis=axis) if grouped else each[0]

    program = programs(design, schedule.loss, grouped)
    cut = len(inputs) if schedule.patience is None else int(len(inputs) * (1 - INNER_VALIDATION))
    states = [_first_state(design, member) for member in members]
    state = _stacked(states) if grouped else states[0]
    rate = ops.convert_to_tensor(together([np.float32(member.learning_rate) for member in members]))
    mask = ops.convert_to_tensor(together([_mask(member, design) for member in members]))
    table = [ops.convert_to_tensor(_padded(array)) for array in (inputs, targets)]
    randoms = [np.random.default_rng(member.seed) for member in members]
    stopping = Stopping(len(members), schedule.patience)
    best = state.weights
    held = np.arange(cut, len(inputs))
    held_batches = _batches(together([held] * len(members)), schedule.batch_size)
    for _ in range(schedule.epochs):
        orders = [random.permutation(cut) if schedule.shuffle else np.arange(cut) for random in randoms]
        state = program.epoch(state, rate, mask, *table, _batches(together(orders), schedule.batch_size))
        if schedule.patience is None:
            best = state.weights
            continue
        losses = ops.convert_to_numpy(program.score(state.weights, mask, *table, held_batches))
        best = _better(best, state.weights, stopping.improved(losses.reshape(-1)))
        if stopping.over:
            break
    arrays = [ops.convert_to_numpy(weight) for weight in best]
    epochs = stopping.best_epoch if schedule.patience is not None else np.full(len(members), schedule.epochs)
    weights = [[array[k] if grouped else array for array in arrays] for k in range(len(members))]
    return [
        Trained(_narrowed(design, member, own), int(count))
        for member, own, count in zip(members, weights, epochs, strict=True)
    ]


class Stopping:
    """Early stopping of `count` trainings, as Keras' `EarlyStopping` with the weights of the best epoch restored."""

    def __init__(self, count: int, patience: int | None) -> None:
        self._patience = patience or 0
        self._epoch = 0
        self._lowest = np.full(count, np.inf)
        self.best_epoch = np.ones(count, dtype=np.int64)

    @property
    def _stopped(self) -> npt.NDArray[np.bool_]:
        # As in Keras: if the loss is always NaN, patience counts from the first epoch.
        stopped: npt.NDArray[np.bool_] = self._epoch - self.best_epoch >= self._patience
        return stopped

    @property
    def over(self) -> bool:
        """Whether all have stopped."""
        return bool(self._stopped.all())

    def improved(self, losses: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Record the losses (count,) of an epoch; returns which running trainings have improved on their best."""
        stopped = self._stopped if self._epoch else np.zeros(len(losses), dtype=bool)
        self._epoch += 1
        better: npt.NDArray[np.bool_] = ~stopped & (losses < self._lowest)
        self._lowest[better] = losses[better]
        self.best_epoch[better] = self._epoch
        return better


def _better(best: list[Any], weights: list[Any], improved: npt.NDArray[np.bool_]) -> list[Any]:
    if improved.all() or not improved.any():
        return weights if improved.any() else best
    shape = (len(improved),)
    return [
        ops.where(improved.reshape(shape + (1,) * (len(new.shape) - 1)), new, old)
        for new, old in zip(weights, best, strict=True)
    ]


def _stacked(states: Sequence[State]) -> State:
    def stack(name: str) -> list[Any]:
        return [ops.stack(arrays) for arrays in zip(*(getattr(state, name) for state in states), strict=True)]

    return State(stack("weights"), stack("means"), stack("squares"), ops.stack([state.step for state in states]))


def _mask(member: Member, design: Design) -> Table:
    mask = np.ones((1, 1, design.columns), dtype=np.float32)
    if member.columns is not None:
        mask[..., [column for column in range(design.columns) if column not in member.columns]] = 0
    return mask


def _first_state(design: Design, member: Member) -> State:
    """The initial state of the member's own network, embedded in the wider one."""
    if member.columns is None:
        return first_state(design.build(member.seed))
    narrow = first_state(replace(design, columns=len(member.columns)).build(member.seed))
    kernel = ops.convert_to_numpy(narrow.weights[0])
    # The first weights of every network are those of its inputs, (columns, units) or (lags x columns, units).
    lags, units = len(kernel) // len(member.columns), kernel.shape[-1]
    wide = np.zeros((lags, design.columns, units), dtype=np.float32)
    wide[:, member.columns] = kernel.reshape(lags, -1, units)
    first = ops.convert_to_tensor(wide.reshape(-1, units))
    return State(
        [first, *narrow.weights[1:]],
        [ops.zeros_like(first), *narrow.means[1:]],
        [ops.zeros_like(first), *narrow.squares[1:]],
        narrow.step,
    )


def _narrowed(design: Design, member: Member, weights: list[Table]) -> list[Table]:
    """Weights of the member's own network, extracted from those of the wider one."""
    if member.columns is None:
        return weights
    kernel = weights[0].reshape(-1, design.columns, weights[0].shape[-1])[:, member.columns]
    return [kernel.reshape(-1, kernel.shape[-1]), *weights[1:]]


def _bucket(count: int) -> int:
    """Round up to one of a few counts: tables of similar length share a compiled program; at most 1/8 is padding."""
    unit = 1 << max(count.bit_length() - 4, 0)
    return -(-count // unit) * unit


def _padded(array: Table) -> Table:
    missing = _bucket(len(array)) - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), dtype=array.dtype)]) if missing else array


def _batches(order: npt.NDArray[np.int64], batch_size: int) -> Batches:
    """Row indexes (n,) or (K, n) in training order, cut into batches."""
    count = order.shape[-1]
    steps = -(-count // batch_size)
    places = _bucket(steps) * batch_size
    rows = np.zeros((*order.shape[:-1], places), dtype=np.int32)
    present = np.zeros(rows.shape, dtype=np.float32)
    rows[..., :count], present[..., :count] = order, 1
    cut = (rows.shape[-1] // batch_size, batch_size)
    rows, present = (np.moveaxis(array.reshape(*order.shape[:-1], *cut), -2, 0) for array in (rows, present))
    return Batches(ops.convert_to_tensor(rows), ops.convert_to_tensor(present), ops.convert_to_tensor(steps))
