"""Export: one immutable dataset for every series, from the feature and label marts to the store."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from flows.warehouse.feature_columns import catalogue_groups, wanted_groups
from flows.warehouse.feature_rows import feature_range
from flows.warehouse.feature_tables import export_features
from flows.warehouse.fingerprints import stored_fingerprints
from flows.workspace.workspace import Workspace
from ml.data.dataset_pointers import pointer_path, read_pointer
from ml.data.datasets import (
    CANDLE_COLUMNS,
    CANDLES_PREFIX,
    Dataset,
    read_dataset,
    read_manifest,
    write_arrays,
    write_manifest,
)
from ml.data.stored import object_bytes
from ml.data.targets import TARGETS, targets_of
from ml.errors import CandleDataError, CaseError, DatasetError, StoreError
from ml.records import Manifest
from ml.series import Series
from ml.store import Store
from ml.timeframes import HOUR_MS, milliseconds
from ml.version import code_version

_logger = logging.getLogger(__name__)


def export_dataset(
    connection: duckdb.DuckDBPyConnection,
    series: Series,
    groups: dict[str, str],
    fingerprints: Mapping[str, str] | None = None,
) -> Dataset:
    """All candles of a series with their features and labels, oldest first.

    Args:
        connection: to the warehouse.
        series: which one.
        groups: feature column -> group, of the columns to export.
        fingerprints: of these columns (see `wanted_fingerprints`).

    Raises:
        CandleDataError: the series has no candle.
        CaseError: a label looks further ahead than the horizon of its target.
    """
    columns = list(groups)
    targets = targets_of(series.timeframe)
    label_columns = [label for labels in targets.values() for label in labels]
    labels = ", ".join(f'l.{label}::double as "{label}"' for label in label_columns)
    names = ", ".join(f'f."{name}"::float as "{name}"' for name in columns)
    known = ", ".join({f"epoch_ms(l.{name}) as {name}": None for name in _available_at(series).values()})
    data = connection.execute(
        f"""
        select epoch_ms(f.open_time) as open_time_ms, f.run_length, c.open, c.high, c.low, c.close, c.volume,
            {labels}, {known}, {names}
        from marts.fct_features as f
        inner join marts.fct_candles as c using (exchange, symbol, timeframe, open_time)
        left join marts.fct_labels as l using (exchange, symbol, timeframe, open_time)
        where f.candle_id between ? and ? and exchange = ? and symbol = ? and timeframe = ?
        order by f.candle_id
        """,
        [*feature_range(connection, series), series.exchange, series.symbol, series.timeframe],
    ).fetchnumpy()
    if len(data["open_time_ms"]) == 0:
        raise CandleDataError(f"No candles of {series} in the warehouse. Run `candleworks ingest`, then `transform`.")

    known_ms = {target: np.ma.asarray(data[column]) for target, column in _available_at(series).items()}
    _require_horizons(series, np.asarray(data["open_time_ms"]), known_ms)

    def matrix(wanted: list[str], kind: type[np.floating[Any]]) -> npt.NDArray[Any]:
        # DuckDB hands out columns with nulls as masked arrays; here null is NaN.
        return np.stack([np.ma.filled(np.ma.asarray(data[name], kind), np.nan) for name in wanted], axis=1)

    return Dataset(
        series=series,
        columns=tuple(columns),
        groups=tuple(groups.values()),
        features=matrix(columns, np.float32),
        labels=matrix(label_columns, np.float64),
        candles=matrix(["open", "high", "low", "close", "volume"], np.float64),
        open_time_ms=np.asarray(data["open_time_ms"], dtype=np.int64),
        run_length=np.asarray(data["run_length"], dtype=np.int32),
        timeframe_ms=milliseconds(series.timeframe),
        targets=targets,
        fingerprints=fingerprints or {},
        horizons={name: TARGETS[name].horizon for name in targets},
    )


def wanted_fingerprints(stored: Mapping[str, str], series: Series, columns: Iterable[str]) -> dict[str, str]:
    """The stored fingerprints of a dataset's columns: features, labels and candles."""
    labels = [column for target in targets_of(series.timeframe) for column in TARGETS[target].columns]
    candles = [CANDLES_PREFIX + column for column in CANDLE_COLUMNS]
    return {name: stored[name] for name in (*columns, *labels, *candles) if name in stored}


def _available_at(series: Series) -> dict[str, str]:
    """Target -> column that says when its labels could be known."""
    return {name: TARGETS[name].available_at for name in targets_of(series.timeframe)}


def _require_horizons(series: Series, open_ms: npt.NDArray[Any], known_ms: Mapping[str, npt.NDArray[Any]]) -> None:
    """Check the labels against the horizons on which splits rely: a label that looks further ahead would leak.

    Args:
        series: whose labels.
        open_ms: open times of the candles (n,).
        known_ms: target -> when its labels could be known (n,), masked where unknown.

    Raises:
        CaseError: naming the target and both lengths.
    """
    for name, known in known_ms.items():
        ahead = np.ma.max(known - open_ms) // milliseconds(series.timeframe) - 1
        horizon = TARGETS[name].horizon
        if ahead is not np.ma.masked and ahead > horizon:
            raise CaseError(
                f"Labels of {name} look {ahead} candles ahead, its horizon in ml/data/targets.py is {horizon}: "
                "train rows would know what they are evaluated on. Run `candleworks transform`, which shortens them. "
                "A label of your own takes its length from the macro label_horizon."
            )


def export_all(workspace: Workspace, refresh_hours: float = 0.0) -> dict[str, str]:
    """Export every series that has candles and point to the new datasets.

    Args:
        workspace: from where and to where.
        refresh_hours: a dataset stays the newest one until the series has candles that are this much newer. A sweep
            that is resumed an hour later then keeps its results, instead of starting again for one more candle.

    Returns:
        Series slug -> id of its newest dataset.
    """
    groups = wanted_groups(workspace)
    store = workspace.store
    current: dict[str, str] = {}
    made: dict[Series, Manifest] = {}
    states: dict[Series, tuple[int, int]] = {}
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        stored = stored_fingerprints(connection)
        for series in workspace.settings.series():
            states[series] = through_ms, since_load_id = _market_through_ms(connection, series)
            prints = wanted_fingerprints(stored, series, groups)
            fresh = _fresh_dataset(store, series, groups, prints, through_ms - refresh_hours * HOUR_MS, since_load_id)
            if fresh is not None:
                current[series.slug] = fresh
                continue
            try:
                dataset = export_dataset(connection, series, groups, prints)
            except CandleDataError:
                continue  # a market that failed to load must not block the others
            made[series] = write_arrays(store, dataset, code_version())
            current[series.slug] = made[series]["id"]
        # Each manifest names the datasets of the other markets, so all arrays are written before.
        for series, manifest in made.items():
            write_manifest(store, manifest, _panel(workspace, series, current))
            _point_to(store, series, manifest["id"], *states[series])
        columns = list(catalogue_groups(workspace))
        for series in workspace.settings.series():
            if series.slug in current:
                export_features(connection, store, series, current[series.slug], columns)
    return current


def _panel(workspace: Workspace, series: Series, current: Mapping[str, str]) -> dict[str, str]:
    """The datasets of the other markets at the timeframe of a series, by symbol."""
    others = (one for one in workspace.settings.series() if one.timeframe == series.timeframe and one != series)
    return {one.symbol: current[one.slug] for one in others if one.slug in current}


def _point_to(store: Store, series: Series, dataset_id: str, through_ms: int, since_load_id: int) -> None:
    """Make a dataset the newest one of its series; for the other arguments see `_market_through_ms`."""
    pointer = {"dataset_id": dataset_id, "through_ms": through_ms, "since_load_id": since_load_id}
    store.replace(pointer_path(series), object_bytes(pointer))


_THROUGH = """
    with
    market as (select ? as exchange, ? as symbol),
    combined as (select sources.* from raw.sources as sources semi join market using (exchange, symbol)),
    places as (
        select exchange, symbol from market
        union
        select source_exchange, source_symbol from combined
    )
    select
        (select epoch_ms(max(open_time)) from raw.candles semi join places using (exchange, symbol)),
        (select max(since_load_id) from combined)
"""


def _market_through_ms(connection: duckdb.DuckDBPyConnection, series: Series) -> tuple[int, int]:
    """State of a market whose change makes its datasets outdated: newest candle and sources.

    Returns:
        Open time of the newest stored candle of the market or of its sources, in any timeframe, and the load at which
        its sources last changed; 0 without any.
    """
    row = connection.execute(_THROUGH, [series.exchange, series.symbol]).fetchone() or (0, 0)
    return int(row[0] or 0), int(row[1] or 0)


def _fresh_dataset(
    store: Store,
    series: Series,
    groups: dict[str, str],
    fingerprints: dict[str, str],
    after_ms: float,
    since_load_id: int,
) -> str | None:
    """Id of the newest dataset if its columns, formulas and sources are current and it ends after `after_ms`."""
    pointer = read_pointer(store, pointer_path(series))
    if pointer is None or pointer["through_ms"] <= after_ms or pointer.get("since_load_id", 0) != since_load_id:
        return None
    try:
        read_dataset(store, pointer["dataset_id"])
        manifest = read_manifest(store, pointer["dataset_id"])
    except DatasetError as error:
        _logger.warning("%s", error)
        return None
    targets = {name: list(labels) for name, labels in targets_of(series.timeframe).items()}
    found = (manifest["columns"], manifest["targets"], manifest.get("fingerprints", {}))
    known = found == (list(groups), targets, fingerprints)
    return str(pointer["dataset_id"]) if known else None


def current_dataset(store: Store, series: Series) -> Manifest | None:
    """Manifest of the newest dataset of a series; None before its first export."""
    pointer = read_pointer(store, pointer_path(series))
    return None if pointer is None else read_manifest(store, pointer["dataset_id"])


def require_datasets(workspace: Workspace) -> dict[Series, Manifest]:
    """Manifests of the newest datasets of all series that have one; a damaged one is left out with a warning.

    Raises:
        StoreError: no series has a dataset.
    """
    found = {}
    for series in workspace.settings.series():
        try:
            manifest = current_dataset(workspace.store, series)
        except DatasetError as error:
            _logger.warning("%s: %s", series, error)
            continue
        if manifest is not None:
            found[series] = manifest
    if not found:
        raise StoreError(f"No dataset in {workspace.store_url}. Run `candleworks ingest`, `transform` and `export`.")
    return found
