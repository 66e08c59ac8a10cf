"""Spreading chunks over whoever works: every lane is kept full, and the next chunk is cut only when there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from ml.execution.chunks import Chunk

#: The name of the lane of this machine's own processes; the others are called like their work pools.
LOCAL = "here"


@dataclass(frozen=True)
class Lane:
    """Where chunks go to.

    Attributes:
        name: a work pool, or `LOCAL`.
        limit: how many chunks it is given at the same time.
        chunks: what it is to do, cut while it is read.
    """

    name: str
    limit: int
    chunks: Iterator[Chunk]


class Future(Protocol):
    """A chunk in work: it tells when it has ended, however it ended."""

    def add_done_callback(self, told: Callable[[object], None], /) -> None:
        """Call `told` at the end, from whatever thread."""


def dispatch(
    lanes: Iterable[Lane],
    start: Callable[[Lane, Chunk], Future],
    on_end: Callable[[], None] = lambda: None,
) -> int:
    """Work through all lanes; returns how many chunks were started.

    Args:
        lanes: they wait for each other only at the end.
        start: begins a chunk and returns at once.
        on_end: called in this thread whenever a chunk has ended.
    """
    ended: SimpleQueue[Lane] = SimpleQueue()
    started = in_work = 0

    def advance(lane: Lane) -> int:
        chunk = next(lane.chunks, None)
        if chunk is None:
            return 0
        start(lane, chunk).add_done_callback(lambda _: ended.put(lane))
        return 1

    for lane in lanes:
        for _ in range(lane.limit):
            in_work += (new := advance(lane))
            started += new
            if not new:
                break
    while in_work:
        lane = ended.get()
        on_end()
        in_work += (new := advance(lane)) - 1
        started += new
    return started
