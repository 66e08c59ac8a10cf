"""Sweep: what is to be tried on the newest datasets, cut into chunks, and how far it has come.

How the chunks are run (here, or by workers on work pools) is decided in `flows.pipeline`. Whatever happens, the state
is in the store: a case is done when its result is there, and a sweep that is started again does only what is missing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flows.export import require_datasets
from flows.feature_columns import catalogue_groups, search_spaces
from flows.installation import Installation
from ml.canonical import digest
from ml.cases import TestCase, enumerate_cases
from ml.chunks import Chunk, cut_chunks, estimated_seconds
from ml.config import Series
from ml.errors import StoreError
from ml.published import write_progress
from ml.results import finished_cases
from ml.store import Store


@dataclass(frozen=True)
class SeriesPlan:
    """The cases of one series: all, and those that have no result yet."""

    series: Series
    dataset_id: str
    rows: int
    total: int
    failed: int
    missing: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep has to do."""

    series: tuple[SeriesPlan, ...]

    @property
    def sweep_id(self) -> str:
        """Names the work: the same spaces over the same datasets are the same sweep."""
        return digest([[plan.dataset_id, plan.total] for plan in self.series])[:12]

    def chunks(self) -> list[Chunk]:
        """The longest chunks first, so that no core waits for a long one at the end."""
        weighed = [
            (sum(estimated_seconds(case, plan.rows) for case in chunk.cases), chunk)
            for plan in self.series
            for chunk in plan.chunks
        ]
        return [chunk for _, chunk in sorted(weighed, key=lambda pair: (-pair[0], pair[1].id))]


def plan_sweep(installation: Installation) -> SweepPlan:
    """Enumerate the cases of every series and leave out those that have a result on its newest dataset.

    Raises:
        StoreError: nothing was exported yet, or not the columns that a search space wants.
        CaseError: a search space asks for what there is not.
    """
    spaces = search_spaces(installation)
    catalogue = catalogue_groups(installation)
    plans = []
    for series, manifest in require_datasets(installation).items():
        cases = list(enumerate_cases(spaces, [series], catalogue))
        _require_columns(cases, manifest)
        status = finished_cases(installation.store, manifest["id"])
        missing = [case for case in cases if case.key not in status]
        chunk_seconds = installation.settings.sweep.chunk_seconds
        plans.append(
            SeriesPlan(
                series=series,
                dataset_id=manifest["id"],
                rows=manifest["rows"],
                total=len(cases),
                failed=sum(status.get(case.key) == "failed" for case in cases),
                missing=len(missing),
                chunks=tuple(cut_chunks(manifest["id"], manifest["rows"], missing, chunk_seconds)),
            )
        )
    return SweepPlan(tuple(plans))


def _require_columns(cases: list[TestCase], manifest: dict[str, Any]) -> None:
    missing = {name for case in cases for name in case.features} - set(manifest["columns"])
    if missing:
        raise StoreError(
            f"Dataset {manifest['id']} lacks {', '.join(sorted(missing))}, which a search space wants now. "
            "Run `candleworks export`."
        )


@dataclass
class _SeriesCount:
    series: Series
    total: int
    done: int
    failed: int
    in_work: int = 0

    def record(self) -> dict[str, Any]:
        return {
            **self.series.model_dump(),
            "cases_total": self.total,
            "cases_done": self.done,
            "cases_failed": self.failed,
            "cases_in_work": self.in_work,
        }


@dataclass
class Tracker:
    """Counts what is done, in work and failed, and publishes it; safe to call from many threads.

    Args:
        store: where the progress is published.
        plan: what is to be done.
        on_change: told (done, total) after each change, for a progress bar.
    """

    store: Store
    plan: SweepPlan
    on_change: Callable[[int, int], None] = lambda done, total: None
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {
            plan.dataset_id: _SeriesCount(plan.series, plan.total, plan.total - plan.missing, plan.failed)
            for plan in self.plan.series
        }
        self._workers: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._publish("running")

    def begin(self, chunk: Chunk) -> None:
        """A chunk is being worked on."""
        with self._lock:
            self._counts[chunk.dataset_id].in_work += len(chunk.cases)
            self._publish("running")

    def end(self, chunk: Chunk, lines: list[dict[str, Any]]) -> None:
        """A chunk has ended; `lines` are its finished cases, none when somebody else did it or it was lost."""
        with self._lock:
            count = self._counts[chunk.dataset_id]
            count.in_work -= len(chunk.cases)
            count.done += len(lines)
            count.failed += sum(line["status"] == "failed" for line in lines)
            self._workers.update(line["worker"] for line in lines)
            self._seconds += [line["seconds"] for line in lines]
            self._publish("running")

    def finish(self) -> None:
        """The sweep has ended."""
        with self._lock:
            self._publish("done")

    def _publish(self, status: str) -> None:
        counts = [count.record() for count in self._counts.values()]
        totals = {
            name: sum(count[name] for count in counts)
            for name in ("cases_total", "cases_done", "cases_failed", "cases_in_work")
        }
        here = len(self._seconds)
        minutes = max(time.time() - self.started, 1e-9) / 60
        rate = here / minutes
        left = totals["cases_total"] - totals["cases_done"]
        progress = {
            "sweep_id": self.plan.sweep_id,
            "status": status,
            "started_at": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "updated_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **totals,
            "cases_per_minute": rate if here else None,
            "mean_seconds": sum(self._seconds) / here if here else None,
            "eta_seconds": left / rate * 60 if here and left else (None if left else 0),
            "workers": [
                {"worker": name, "cases": cases, "share": cases / here} for name, cases in self._workers.most_common()
            ],
            "series": counts,
        }
        write_progress(self.store, progress)
        self.on_change(totals["cases_done"], totals["cases_total"])
