"""Distribute chunks over the pools: every lane is kept full, and the next chunk is cut only when a lane has room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from ml.execution.chunks import Chunk

#: The name of the lane of this machine's own processes; the others have the names of their work pools.
LOCAL = "here"


@dataclass(frozen=True)
class Lane:
    """A destination of chunks.

    Attributes:
        name: a work pool, or `LOCAL`.
        limit: chunks in flight at the same time.
        chunks: its chunks, cut lazily.
    """

    name: str
    limit: int
    chunks: Iterator[Chunk]


class Future(Protocol):
    """A chunk in work, which reports its end, successful or not."""

    def add_done_callback(self, callback: Callable[[object], None], /) -> None:
        """Call `callback` at the end, from any thread."""


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
