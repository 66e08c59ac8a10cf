"""Chunks are cut while they are submitted, and never more are in flight than a lane takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from flows.sweep.dispatch import LOCAL, Lane, dispatch
from ml.execution.chunks import Chunk
from tests.synthetic import make_case


class Workers:
    """Takes chunks and ends them when told."""

    def __init__(self) -> None:
        self.open: list[tuple[str, Callable[[object], None]]] = []
        self.most: Counter[str] = Counter()
        self.taken: list[Chunk] = []
        self._current = ""

    def start(self, lane: Lane, chunk: Chunk) -> Workers:
        self.taken.append(chunk)
        self._current = lane.name
        return self

    def add_done_callback(self, told: Callable[[object], None], /) -> None:
        self.open.append((self._current, told))
        in_flight = Counter(name for name, _ in self.open)
        self.most |= in_flight
        if len(self.open) == 5:  # all are busy: the latest ends first
            self.open.pop()[1](None)

    def end_one(self) -> None:
        if self.open:
            self.open.pop(0)[1](None)


def chunks(n: int, cut: list[int]) -> Iterator[Chunk]:
    for number in range(n):
        cut.append(number)
        yield Chunk("d", (make_case(params={"alpha": number + 1.0}),))


def test_every_chunk_is_started_once_and_lanes_stay_within_their_limits() -> None:
    workers = Workers()
    cut: list[int] = []
    lanes = [Lane("gpu", 2, chunks(20, cut)), Lane(LOCAL, 3, chunks(30, cut))]
    done: list[int] = []

    def ended() -> None:
        done.append(1)
        workers.end_one()

    assert dispatch(lanes, workers.start, ended) == 50
    assert len(workers.taken) == len(done) == 50
    assert workers.most == {"gpu": 2, LOCAL: 3}


def test_no_chunk_is_cut_before_there_is_room_for_it() -> None:
    workers = Workers()
    cut: list[int] = []
    ahead: list[int] = []

    def ended() -> None:
        ahead.append(len(cut) - len(workers.taken))
        workers.end_one()

    dispatch([Lane("cpu", 5, chunks(1000, cut))], workers.start, ended)
    assert max(ahead) == 0


def test_lanes_without_work_end_at_once() -> None:
    assert dispatch([Lane("cpu", 3, iter(()))], Workers().start) == 0
    assert dispatch([], Workers().start) == 0


def test_an_error_of_a_lane_reaches_the_caller() -> None:
    def broken() -> Iterator[Chunk]:
        yield Chunk("d", (make_case(),))
        raise ValueError("no such group")

    with pytest.raises(ValueError, match="no such group"):
        dispatch([Lane("cpu", 3, broken())], Workers().start)
