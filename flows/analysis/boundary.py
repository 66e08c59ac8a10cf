"""Decision boundaries of classifiers, computed for the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flows.analysis.series import chosen_datasets, key_of
from flows.reporting import Reporter
from flows.workspace.workspace import Workspace
from ml.analysis.boundary import Axes, boundaries, classifier_case
from ml.analysis.records import BoundaryRow
from ml.analysis.tables import Row, is_computed, read_rows, write_tables
from ml.data.datasets import read_dataset
from ml.errors import CaseError
from ml.execution.results import read_results
from ml.series import Series

#: Computes one series: (workspace, series, dataset, further pair, again) -> whether it was due.
Refresh = Callable[[Workspace, Series, str, Axes | None, bool], bool]


def refresh_boundary(workspace: Workspace, series: Series, dataset_id: str, pair: Axes | None, again: bool) -> bool:
    """Compute and store the boundary of a series, and over a further pair; False if nothing is due."""
    store = workspace.store
    if pair is None and not again and is_computed(store, dataset_id, "boundaries"):
        return False
    dataset = read_dataset(store, dataset_id)
    case = classifier_case(dataset, read_results(store, dataset_id, ["case_json", "status", "skill", "model"]))
    pairs = [
        *_drawn(None if again else read_rows(store, dataset_id, "boundaries"), case.key),
        *([pair] if pair else []),
    ]
    found = boundaries(dataset, case, key_of(series, dataset_id), pairs)
    tables: dict[str, Sequence[Row]] = {
        "boundaries": [one.summary for one in found],
        "boundary_cells": [cell for one in found for cell in one.cells],
        "boundary_points": [point for one in found for point in one.points],
    }
    write_tables(store, dataset_id, tables)
    return True


def _drawn(rows: list[BoundaryRow] | None, case_key: str) -> list[Axes]:
    """Further pairs that were drawn for this very classifier."""
    return [
        (row["x_feature"], row["y_feature"])
        for row in rows or ()
        if not row["is_default"] and row["case_key"] == case_key
    ]


def run_boundaries(
    workspace: Workspace,
    reporter: Reporter,
    symbol: str | None = None,
    timeframe: str | None = None,
    pair: Axes | None = None,
    again: bool = False,
    refresh: Refresh = refresh_boundary,
) -> list[Series]:
    """Compute the boundary of every series whose newest dataset has none yet; further pairs and `again` always.

    A series of too few candles is left out, with a warning.

    Raises:
        CaseError: only one series was asked for, and it cannot be computed.
    """
    datasets = chosen_datasets(workspace, symbol, timeframe)
    computed = []
    with reporter.step("decision boundaries") as step:
        for number, (series, dataset_id) in enumerate(datasets.items()):
            try:
                if refresh(workspace, series, dataset_id, pair, again):
                    computed.append(series)
            except CaseError as error:
                if len(datasets) == 1:
                    raise
                step.warn(f"{series}: {error}")
            step.count(number + 1, len(datasets))
        step.say(f"{len(computed)} of {len(datasets)} series computed")
    return computed
