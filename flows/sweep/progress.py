"""The live progress of a sweep: counted here, published in the store and as an artifact of Prefect."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext

from flows.sweep.sweep import Round, SeriesCount
from ml.errors import StoreError
from ml.execution.chunks import Chunk
from ml.forecasting.published import write_progress
from ml.records import CaseCounts, ChunkLine, SweepProgress
from ml.store import Store

#: Changes are published within this time; one file per chunk would be too many with short chunks.
PUBLISH_SECONDS = 0.5
#: A heartbeat when nothing changes, so that readers can tell a long chunk from a sweep that was killed.
ALIVE_SECONDS = 30.0
#: An update of the artifact takes the server 50 ms.
ARTIFACT_SECONDS = 2.0


class Tracker:
    """Counts cases that are done, in work and failed, and publishes the counts; thread-safe.

    Args:
        store: where the progress is published.
        on_change: called with (done, total) after each change, for a progress bar.
    """

    def __init__(self, store: Store, on_change: Callable[[int, int], None] = lambda done, total: None) -> None:
        self._store = store
        self._on_change = on_change
        self._started = time.time()
        self._lock = threading.Lock()
        self._round: Round | None = None
        self._workers: Counter[str] = Counter()
        self._seconds = 0.0
        self._warnings: dict[str, None] = {}  # a set that keeps its order
        self._changed, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._publish_changes, name="progress", daemon=True)
        self._artifact: tuple[UUID, float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._round is not None:
            self._publish("stopped" if error else "done")
            self.show(final=error is None)

    def follow(self, plan: Round) -> None:
        """Count for this round from now on."""
        with self._lock:
            first, self._round = self._round is None, plan
        self._publish("running")
        if first:
            self._thread.start()

    def begin(self, chunk: Chunk) -> None:
        """A chunk is being worked on."""
        with self._lock:
            self._count(chunk).in_work += len(chunk.cases)
        self._changed.set()

    def end(self, chunk: Chunk, lines: Sequence[ChunkLine], *, begun: bool) -> None:
        """A chunk has ended; `lines` are its finished cases, none if another worker had it or it was lost."""
        with self._lock:
            count = self._count(chunk)
            count.in_work -= len(chunk.cases) if begun else 0
            count.ended += len(lines)
            count.ended_failed += sum(line["status"] == "failed" for line in lines)
            self._workers.update(line["worker"] for line in lines)
            self._seconds += sum(line["seconds"] for line in lines)
        self._changed.set()

    def warn(self, line: str) -> None:
        """Add a warning, once; the sweep continues."""
        with self._lock:
            self._warnings[line] = None
        self._changed.set()

    def warnings(self) -> list[str]:
        """The warnings so far."""
        with self._lock:
            return list(self._warnings)

    def totals(self) -> dict[str, int]:
        """The figures of all series together."""
        with self._lock:
            return self._totals()

    def show(self, *, final: bool = False) -> None:
        """Bring the artifact of the flow run up to date, if there is one and it is time."""
        if FlowRunContext.get() is None or self._round is None:
            return
        totals = self.totals()
        share = 100.0 * totals["cases_done"] / max(totals["cases_total"], 1)
        if self._artifact is None:
            key = f"sweep-{self._round.sweep_id}"
            # A coroutine only when called from one, which its type cannot tell.
            identity = cast(UUID, create_progress_artifact(progress=share, key=key, description=_line(totals)))
            self._artifact = (identity, time.monotonic())
        elif final or time.monotonic() - self._artifact[1] >= ARTIFACT_SECONDS:
            update_progress_artifact(self._artifact[0], progress=share, description=_line(totals))
            self._artifact = (self._artifact[0], time.monotonic())

    def _count(self, chunk: Chunk) -> SeriesCount:
        assert self._round is not None, "follow a round first"
        return self._round.counts[chunk.dataset_id]

    def _totals(self) -> dict[str, int]:
        assert self._round is not None, "follow a round first"
        records = [cast(dict[str, int], count.record()) for count in self._round.counts.values()]
        return {name: sum(record[name] for record in records) for name in CaseCounts.__annotations__}

    def _publish_changes(self) -> None:
        published = time.monotonic()
        while not self._over.wait(PUBLISH_SECONDS):
            if self._changed.is_set() or time.monotonic() - published > ALIVE_SECONDS:
                self._changed.clear()
                # A failed write is made up by the next one; the sweep itself continues.
                with suppress(StoreError, OSError):
                    self._publish("running")
                published = time.monotonic()

    def _publish(self, status: str) -> None:
        with self._lock:
            progress = self._progress(status)
        write_progress(self._store, progress)
        self._on_change(progress["cases_done"], progress["cases_total"])

    def _progress(self, status: str) -> SweepProgress:
        assert self._round is not None, "follow a round first"
        totals = self._totals()
        here = self._workers.total()
        rate = here / (max(time.time() - self._started, 1e-9) / 60)
        left = totals["cases_total"] - totals["cases_done"]
        progress = {
            "sweep_id": self._round.sweep_id,
            "status": status,
            "started_at": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            "updated_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **totals,
            "warnings": list(self._warnings),
            "cases_per_minute": rate if here else None,
            "mean_seconds": self._seconds / here if here else None,
            "eta_seconds": left / rate * 60 if here and left else (None if left else 0),
            "workers": [
                {"worker": name, "cases": cases, "share": cases / here} for name, cases in self._workers.most_common()
            ],
            "series": [count.record() for count in self._round.counts.values()],
        }
        return cast(SweepProgress, progress)


def _line(totals: dict[str, int]) -> str:
    return (
        f"{totals['cases_never_tested']:,} never tested, {totals['cases_in_work']:,} being tested, "
        f"{totals['cases_tested']:,} tested ({totals['cases_pruned']:,} pruned), {totals['cases_failed']:,} failed"
    )
