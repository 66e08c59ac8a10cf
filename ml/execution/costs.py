"""Estimated cost of test cases, from measured costs, and chunks of about equal cost.

The rates are stored once per dataset: every sweep of that dataset cuts the same chunks, so that a lease refers to the
same work on every machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ml.data.stored import derived, object_bytes, read_object
from ml.errors import DamagedError
from ml.execution.chunks import Chunk
from ml.execution.results import read_result_file, result_files
from ml.models import MODELS
from ml.records import ResultRow
from ml.search.cases import TestCase
from ml.store import Store

#: Fixed cost of a case: binding it to the dataset, metrics, result row.
FIXED_SECONDS = 0.02
#: Files and rows that rates are measured on: enough for a median, few enough to read at every start.
FILES = 40
ROWS = 2000
#: Fewest results for a measured rate; below, the registry's rate is used.
FEWEST = 5
#: Most cases of a chunk, so that its description is a small message.
MOST_CASES = 2000
#: Typical epochs before early stopping, to which the registry's rates of neural models refer.
USUAL_EPOCHS = 20


@dataclass(frozen=True)
class Costs:
    """Seconds of a case on one core.

    Attributes:
        rates: kind of work (see `_work`) -> measured seconds per unit.
    """

    rates: Mapping[str, float]

    def seconds(self, case: TestCase, rows: int) -> float:
        """Estimate for a case on a dataset of `rows` candles: the measured rate of its model, else the registry's."""
        if case.members is not None:
            return sum(self.seconds(member, rows) for member in case.members)
        train_rows = rows * case.train_fraction
        name, amount = _work(case, min(train_rows, case.train_rows or train_rows))
        if case.walk_forward is not None:
            amount *= math.ceil(rows * case.validation_fraction / case.walk_forward.refit_every)
        return FIXED_SECONDS + self.rates.get(name, _registered(case)) * amount


def _work(case: TestCase, train_rows: float) -> tuple[str, float]:
    """Work of one fit of all seeds: the name of its kind, and its units (million values, times epochs).

    A pooled fit is a kind of its own: its rows are of as many markets as there are.
    """
    amount = train_rows * case.lags * len(case.input_columns) / 1e6 * len(case.seeds)
    epochs = _asked_epochs(case)
    name = case.model if case.pool is None else f"{case.model} pooled"
    return (name, amount) if epochs is None else (f"{name} epochs", amount * epochs)


def _asked_epochs(case: TestCase) -> int | None:
    """The epochs of a case if they differ from the default; with the default, training stops early."""
    epochs, usual = case.params.get("epochs"), MODELS[case.model].parameters.model_fields.get("epochs")
    return None if usual is None or epochs == usual.default else int(epochs or 0)


def _registered(case: TestCase) -> float:
    rate = MODELS[case.model].seconds_per_million_values
    return rate if _asked_epochs(case) is None else rate / USUAL_EPOCHS


def measured_costs(store: Store) -> Costs:
    """Median rates of a sample of the results in a store, spread evenly over its files."""
    paths = result_files(store)
    rates: dict[str, list[float]] = {}
    rows = 0
    for path in paths[:: -(-len(paths) // FILES) or 1]:
        for row in read_result_file(store, path, ["case_json", "status", "fit_seconds", "n_train"]):
            rows += row["status"] == "tested"
            if row["status"] == "tested" and rows <= ROWS:
                _add_rate(rates, row)
    return Costs({name: statistics.median(found) for name, found in rates.items() if len(found) >= FEWEST})


def _add_rate(rates: dict[str, list[float]], row: ResultRow) -> None:
    try:
        case = TestCase.model_validate_json(row["case_json"])
    except ValueError:  # a case of a model that was removed, or a forged one
        return
    if case.walk_forward is None:  # a walk-forward row is the sum of many fits
        name, amount = _work(case, row["n_train"])
        rates.setdefault(name, []).append(max(row["fit_seconds"] - FIXED_SECONDS, 0.0) / amount)


def costs_of_dataset(store: Store, dataset_id: str, measure: Callable[[], Costs]) -> Costs:
    """The costs for cutting the cases of a dataset into chunks: the stored ones, else measured now and stored."""
    path = f"costs/{dataset_id}.json"
    while True:
        rates = derived(store, path, lambda: _rates(store, path))
        if rates is not None:
            return Costs(rates)
        with suppress(FileExistsError):  # a concurrent sweep was first
            store.create(path, object_bytes(measure().rates))


def _rates(store: Store, path: str) -> dict[str, float]:
    rates: dict[str, float] = read_object(store, path, {}, "")
    if not all(isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0 for rate in rates.values()):
        raise DamagedError(f"{path} is damaged (a rate is no number of seconds).")
    return rates


def cut_chunks(
    dataset_id: str,
    cases: Iterable[tuple[TestCase, bool]],
    seconds: Callable[[TestCase], float],
    chunk_seconds: Callable[[], float],
) -> Iterator[Chunk]:
    """Cut cases, lazily and in order, into chunks of about `chunk_seconds`, each of one kind of model.

    Args:
        dataset_id: of the chunks.
        cases: each with whether it is missing. Finished cases still count for the cuts, so that chunks in work
            elsewhere get the same boundaries again.
        seconds: estimated seconds of a case.
        chunk_seconds: target length of the current chunk.
    """
    missing: list[TestCase] = []
    length, count, kind = 0.0, 0, ""
    for case, is_missing in cases:
        kind_changes = kind not in ("", MODELS[case.model].kind)
        if kind_changes or length >= chunk_seconds() or count >= MOST_CASES:
            if missing:
                yield Chunk(dataset_id, tuple(missing))
            missing, length, count = [], 0.0, 0
        kind = MODELS[case.model].kind
        length += seconds(case)
        count += 1
        if is_missing:
            missing.append(case)
    if missing:
        yield Chunk(dataset_id, tuple(missing))
