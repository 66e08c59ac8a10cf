"""Decision boundaries as records of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from flows.terminal.output import PrintedRow
from ml.analysis.boundary import Axes, accuracy_sentence
from ml.analysis.records import BoundaryCellRow, BoundaryRow
from ml.analysis.tables import read_rows
from ml.series import Series
from ml.store import Store


def boundary_records(store: Store, datasets: Mapping[Series, str], pair: Axes | None) -> list[PrintedRow]:
    """The boundary of each series, over a pair of features or the default one, with its cells and points."""
    records: list[PrintedRow] = []
    for dataset_id in datasets.values():
        for row in read_rows(store, dataset_id, "boundaries") or []:
            axes = row["x_feature"], row["y_feature"]
            if axes == pair if pair is not None else row["is_default"]:
                records.append({**row, **{name: _of(store, dataset_id, f"boundary_{name}", axes) for name in _PARTS}})
    return records


_PARTS = ("cells", "points")


def _of(store: Store, dataset_id: str, table: str, axes: Axes) -> list[PrintedRow]:
    keys = {"exchange", "symbol", "timeframe", "dataset_id", "x_feature", "y_feature"}
    return [
        {name: value for name, value in row.items() if name not in keys}
        for row in read_rows(store, dataset_id, table) or []
        if (row["x_feature"], row["y_feature"]) == axes
    ]


def sentence(record: PrintedRow) -> str:
    """One line for people."""
    row = cast(BoundaryRow, record)
    cells = cast(Sequence[BoundaryCellRow], record["cells"])
    sparse = sum(cell["is_sparse"] for cell in cells) / max(1, len(cells))
    return (
        f"{row['symbol']} {row['timeframe']}: {accuracy_sentence(row)} Plane of {row['x_feature']} and "
        f"{row['y_feature']}; {sparse:.0%} of it has few train rows."
    )
