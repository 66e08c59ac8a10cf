"""The work of a drill: a store with quick test cases, and what must be the same whatever was killed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ml.data.datasets import write_dataset
from ml.execution.chunks import Chunk
from ml.execution.leases import Lease, leases_of
from ml.execution.result_schema import SCHEMA
from ml.execution.results import read_result_file, result_files, result_path
from ml.store import Store
from tests.synthetic import finished_cases, make_case, make_dataset

ROWS = 20_000
LAGS = 8
#: Who did a case, when, and at what cost may differ; nothing else.
CIRCUMSTANCES = {"worker", "started_at", "finished_at", "fit_seconds", "peak_memory_mb"}


@dataclass(frozen=True)
class Work:
    """Ridge cases over one synthetic series, in chunks. Every process of a drill makes the same from its arguments."""

    store_url: str
    cases: int
    cases_a_chunk: int

    @property
    def arguments(self) -> list[str]:
        return [self.store_url, str(self.cases), str(self.cases_a_chunk)]

    @classmethod
    def parse(cls, arguments: list[str]) -> Work:
        return cls(arguments[0], int(arguments[1]), int(arguments[2]))

    @property
    def store(self) -> Store:
        return Store(self.store_url)

    @cache  # noqa: B019 - a few of them in a process, for its whole life
    def chunks(self) -> list[Chunk]:
        dataset_id = write_dataset(self.store, make_dataset(ROWS), "drill")
        cases = [make_case(params={"alpha": 0.1 * (number + 1)}, lags=LAGS) for number in range(self.cases)]
        size = self.cases_a_chunk
        return [Chunk(dataset_id, tuple(cases[first : first + size])) for first in range(0, len(cases), size)]

    def done(self) -> set[str]:
        """Keys of the cases that have a result."""
        return set(finished_cases(self.store, self.chunks()[0].dataset_id))

    def held(self) -> Iterator[Lease]:
        """Leases of the chunks that a worker is doing, or was doing when it was killed."""
        for chunk in self.chunks():
            leases = leases_of(self.store, chunk.id)
            if leases and leases[-1].until_s and not self.store.exists(result_path(chunk.dataset_id, chunk.id)):
                yield leases[-1]

    def rows(self) -> list[dict[str, Any]]:
        """Every row of every result file, a second one of a case too, without its circumstances."""
        names = [name for name in SCHEMA.names if name not in CIRCUMSTANCES]
        rows = [row for path in result_files(self.store) for row in read_result_file(self.store, path, names)]
        return sorted(rows, key=lambda row: row["case_key"])


def _same(one: Any, other: Any) -> bool:
    """Equal, numbers up to rounding: ridge cases that are fitted together round otherwise than alone."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, str) and isinstance(other, str) and one[:1] in "[{" and one != other:
        return _same(json.loads(one), json.loads(other))
    return repr(one) == repr(other)


def differences(disturbed: Work, undisturbed: Work) -> list[str]:
    """What differs between two sweeps over the same cases; empty when kills have changed nothing."""
    found, expected = disturbed.rows(), undisturbed.rows()
    keys, expected_keys = [row["case_key"] for row in found], [row["case_key"] for row in expected]
    lines = [f"{key} has {keys.count(key)} results" for key in sorted(set(keys)) if keys.count(key) > 1]
    lines += [f"{key} is missing" for key in expected_keys if key not in set(keys)]
    lines += [f"{key} is too many" for key in sorted(set(keys) - set(expected_keys))]
    by_key = {row["case_key"]: row for row in found}
    for row in expected:
        other = by_key.get(row["case_key"], row)
        lines += [f"{row['case_key']}: {name} differs" for name in row if not _same(row[name], other[name])]
    return lines
