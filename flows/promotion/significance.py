"""Significance of the whole search of a series, kept in raw.significance next to the results."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pyarrow as pa

from flows.workspace.database import transaction
from flows.workspace.workspace import Workspace
from ml.promotion.field import Field, read_field
from ml.promotion.finalists import Contender, finalists
from ml.promotion.significance import (
    FEWEST_DAYS,
    block_length,
    confidence_set,
    resampled_days,
    skill_interval,
    spa_p_value,
)
from ml.records import SignificanceRow
from ml.series import Series
from ml.store import Store

_ROWS = pa.schema(
    {
        "case_key": pa.string(),
        "skill_lower": pa.float64(),
        "skill_upper": pa.float64(),
        "spa_p_value": pa.float64(),
        "is_finalist": pa.bool_(),
        "in_confidence_set": pa.bool_(),
    }
)


def due_datasets(workspace: Workspace, datasets: dict[Series, str]) -> dict[Series, str]:
    """Those of the series' datasets with a ranked result that raw.significance does not know yet.

    Results never change, so equal keys mean equal results. The results must have been loaded before.
    """
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute(
            "select distinct dataset_id from raw.results anti join raw.significance using (dataset_id, case_key) "
            "where is_ranked"
        ).fetchall()
    changed = {row[0] for row in rows}
    return {series: dataset_id for series, dataset_id in datasets.items() if dataset_id in changed}


def significance_rows(store: Store, dataset_id: str, without_machines: Collection[str] = ()) -> list[SignificanceRow]:
    """A row of raw.significance for every ranked case of a dataset, without the columns of the series.

    The interval of a case is that of the skill of its mean daily losses; there is one p-value for the whole field.
    Figures are None for a case without a column in the field, and for all cases if there are too few days; finalists
    are marked even then.
    """
    field = read_field(store, dataset_id, without_machines)
    leading = finalists(field.figures)
    keys = {contender.case_key for contender in leading}
    rows: list[SignificanceRow] = [
        {
            "case_key": row["case_key"],
            "skill_lower": None,
            "skill_upper": None,
            "spa_p_value": None,
            "is_finalist": row["case_key"] in keys,
            "in_confidence_set": None,
        }
        for row in field.figures
    ]
    if not field.columns or len(field.losses) < FEWEST_DAYS:
        return rows
    benchmark = field.best_baseline
    block = block_length(benchmark)
    weights = resampled_days(len(benchmark), block)
    lower, upper = skill_interval(field.losses, field.baselines, weights)
    p_value = spa_p_value(field.losses, field.baselines, weights)
    chosen = _confidence_set(field, leading, block)
    for row in rows:
        column = field.columns.get(row["case_key"])
        if column is not None:
            row["skill_lower"], row["skill_upper"] = _figure(lower[column]), _figure(upper[column])
        row["spa_p_value"] = p_value
        row["in_confidence_set"] = chosen.get(row["case_key"])
    return rows


def _figure(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _confidence_set(field: Field, leading: list[Contender], block: int) -> dict[str, bool]:
    """Case key of a finalist -> whether it may be the best of the finalists and the best baseline."""
    losses = {contender.case_key: field.losses_of(contender.mates) for contender in leading}
    known = {key: column for key, column in losses.items() if column is not None}
    if not known:
        return {}
    included = confidence_set(np.column_stack([field.best_baseline, *known.values()]), block)
    return dict(zip(known, map(bool, included[1:]), strict=True))


def store_rows(workspace: Workspace, series: Series, dataset_id: str, rows: list[SignificanceRow]) -> None:
    """Replace the rows of one dataset, in one transaction."""
    batch = pa.Table.from_pylist(rows, schema=_ROWS)
    for name, value in {**series.key, "dataset_id": dataset_id}.items():
        batch = batch.append_column(name, pa.array([value] * len(batch), pa.string()))
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        connection.register("batch", batch)
        with transaction(connection):
            connection.execute("delete from raw.significance where dataset_id = ?", [dataset_id])
            connection.execute("insert into raw.significance by name select * from batch")
