"""What a test case costs, from what cases have cost, and chunks of cases cut by it.

The rates are written down once a dataset: whoever sweeps that dataset, at whatever time, cuts the same chunks, so that
claims mean the same work to everybody.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ml.canonical import canonical_json
from ml.execution.chunks import Chunk
from ml.execution.results import read_result_file, result_files
from ml.models import MODELS
from ml.search.cases import TestCase
from ml.store import Store

#: Of every case: laying it over the dataset, the metrics, the result row.
FIXED_SECONDS = 0.02
#: Files and rows that rates are measured on: enough for a median, few enough to read at every start.
FILES = 40
ROWS = 2000
#: Fewer results of a model say less than the registry's rate.
FEWEST = 5
#: A chunk has at most so many cases, so that its description stays a small message.
MOST_CASES = 2000
#: Epochs that the registry's rates of neural models stand for.
USUAL_EPOCHS = 20


@dataclass(frozen=True)
class Costs:
    """Seconds of a case on one core.

    Attributes:
        rates: kind of work (see `_work`) -> measured seconds a unit of it.
    """

    rates: Mapping[str, float]

    def seconds(self, case: TestCase, rows: int) -> float:
        """Estimate for a case on a dataset of `rows` candles: the measured rate of its model, else the registry's."""
        train_rows = rows * case.train_fraction
        name, amount = _work(case, min(train_rows, case.train_rows or train_rows))
        if case.walk_forward is not None:
            amount *= math.ceil(rows * case.validation_fraction / case.walk_forward.refit_every)
        return FIXED_SECONDS + self.rates.get(name, _registered(case)) * amount


def _work(case: TestCase, train_rows: float) -> tuple[str, float]:
    """What is done for one fit of all seeds: a name for its kind, and how many units (million values, times epochs)."""
    amount = train_rows * case.lags * len(case.input_columns) / 1e6 * len(case.seeds)
    epochs = _asked_epochs(case)
    return (case.model, amount) if epochs is None else (f"{case.model} epochs", amount * epochs)


def _asked_epochs(case: TestCase) -> int | None:
    """Epochs where a case asks for other ones than usual; with the usual ones training stops early."""
    epochs, usual = case.params.get("epochs"), MODELS[case.model].parameters.model_fields.get("epochs")
    return None if usual is None or epochs == usual.default else int(epochs or 0)


def _registered(case: TestCase) -> float:
    rate = MODELS[case.model].seconds_per_million_values
    return rate if _asked_epochs(case) is None else rate / USUAL_EPOCHS


def measured_costs(store: Store) -> Costs:
    """Median rates of the results in a store, of some files spread over all of them."""
    paths = result_files(store)
    rates: dict[str, list[float]] = {}
    rows = 0
    for path in paths[:: -(-len(paths) // FILES) or 1]:
        for row in read_result_file(store, path, ["case_json", "status", "fit_seconds", "n_train"]):
            rows += row["status"] == "tested"
            if row["status"] == "tested" and rows <= ROWS:
                _add_rate(rates, row)
    return Costs({name: statistics.median(found) for name, found in rates.items() if len(found) >= FEWEST})


def _add_rate(rates: dict[str, list[float]], row: Mapping[str, Any]) -> None:
    case = TestCase.model_validate_json(row["case_json"])
    if case.walk_forward is None:  # of which one row holds many fits
        name, amount = _work(case, row["n_train"])
        rates.setdefault(name, []).append(max(row["fit_seconds"] - FIXED_SECONDS, 0.0) / amount)


def costs_of_dataset(store: Store, dataset_id: str, measure: Callable[[], Costs]) -> Costs:
    """The costs by which the cases of a dataset are cut: those written down for it, else measured now and kept."""
    path = f"costs/{dataset_id}.json"
    if not store.exists(path):
        with suppress(FileExistsError):  # another one has begun the same sweep at this moment
            store.create(path, canonical_json(measure().rates).encode())
    return Costs(json.loads(store.read(path)))


def cut_chunks(
    dataset_id: str,
    cases: Iterable[tuple[TestCase, bool]],
    seconds: Callable[[TestCase], float],
    chunk_seconds: Callable[[], float],
) -> Iterator[Chunk]:
    """Cut cases, lazily and in their order, into chunks of about `chunk_seconds`, each of one kind of model.

    Args:
        dataset_id: which dataset they are for.
        cases: each with whether it is still to be done. The others move no cut: chunks that are at work elsewhere are
            cut again as they were.
        seconds: what a case takes.
        chunk_seconds: how long the chunk that is being filled shall be.
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
