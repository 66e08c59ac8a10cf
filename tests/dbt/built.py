"""A warehouse that tests take through runs of dbt, and what its tables held after each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from flows.warehouse.dbt_process import DbtPlace
from flows.warehouse.marts import build_command
from flows.warehouse.transform import dbt_place, feature_catalogue, run_dbt, write_markets
from flows.workspace.database import Warehouse
from ml.series import Series

Table = dict[str, npt.NDArray[np.generic]]
TIMEFRAMES = ("1h", "4h", "1d")
#: As every hour; ALL_* as every night.
BUILD_CANDLES, BUILD_STORE = build_command("candles"), build_command("store")
ALL_CANDLES, ALL_STORE = build_command("candles", all_tests=True), build_command("store", all_tests=True)
#: The markets that are cut at a random candle, and how many candles each has.
CUTS = {f"CUT_{number}": int(n) for number, n in enumerate(np.random.default_rng(11).integers(2600, 3890, size=3))}


@dataclass
class Built:
    """A warehouse after some runs of dbt: tables as they were after each `stage`."""

    warehouse: Warehouse
    target_path: Path
    log_path: Path
    stages: dict[str, dict[str, dict[tuple[str, str], Table]]] = field(default_factory=dict)

    def run(self, command: list[str], unit_tests: bool = False) -> Any:
        return run_dbt(
            self.warehouse.path,
            command,
            target_path=self.target_path,
            log_path=self.log_path,
            unit_tests=unit_tests,
        )

    @property
    def place(self) -> DbtPlace:
        return dbt_place(self.warehouse.path, target_path=self.target_path, log_path=self.log_path)

    def keep(self, stage: str) -> None:
        """Remember the candle tables as they are now."""
        with self.warehouse.connect() as connection:
            self.stages[stage] = {
                name: by_series(connection, name) for name in ("fct_candles", "fct_features", "fct_labels")
            }

    def table(self, stage: str, name: str, market: str, timeframe: str) -> Table:
        return self.stages[stage][name][f"{market}/USDT", timeframe]

    @property
    def catalogue(self) -> dict[str, dict[str, Any]]:
        return {entry["column"]: entry for entry in feature_catalogue(self.target_path)}


def by_series(connection: duckdb.DuckDBPyConnection, name: str) -> dict[tuple[str, str], Table]:
    """A mart, split into series and in order of time; null is NaN (or not a time)."""
    rows = connection.execute(f"SELECT * FROM marts.{name} ORDER BY symbol, timeframe, open_time").fetchnumpy()
    plain = {column: _without_mask(values) for column, values in rows.items()}
    keys = sorted(set(zip(plain["symbol"], plain["timeframe"], strict=True)))
    tables = {}
    for symbol, timeframe in keys:
        chosen = (plain["symbol"] == symbol) & (plain["timeframe"] == timeframe)
        tables[symbol, timeframe] = {column: values[chosen] for column, values in plain.items()}
    return tables


def _without_mask(values: Any) -> npt.NDArray[np.generic]:
    if values.dtype == object and any(isinstance(value, np.ndarray) for value in np.ma.getdata(values)):
        return _matrix(values)
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    if values.dtype.kind in "bi":
        values = values.astype(float)
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    if values.dtype.kind == "M":
        return values.filled(np.datetime64("NaT"))
    return np.asarray(values)


def _matrix(lists: Any) -> npt.NDArray[np.generic]:
    """A column of lists as (n, length of the longest); what is not there is NaN."""
    known = np.flatnonzero(~np.ma.getmaskarray(lists))
    rows = np.ma.getdata(lists)  # a masked array takes a microsecond for each of its values
    matrix = np.full((len(lists), max(len(rows[row]) for row in known)), np.nan)
    for row in known:
        matrix[row, : len(rows[row])] = rows[row]
    return matrix


def load(connection: duckdb.DuckDBPyConnection, market: str, rows: str, load_id: int) -> None:
    """Append candles to raw as a load does; `rows` is SQL that yields open_time, prices and volume."""
    connection.execute(
        "INSERT INTO raw.candles BY NAME SELECT 'test' AS exchange, ? AS symbol, '1h' AS timeframe, open_time, open, "
        f"high, low, close, volume, ? AS load_id, now()::TIMESTAMP AS loaded_at FROM ({rows})",
        [f"{market}/USDT", load_id],
    )


def configure(connection: duckdb.DuckDBPyConnection, *markets: str) -> None:
    series = [Series(exchange="test", symbol=f"{m}/USDT", timeframe=t) for m in markets for t in TIMEFRAMES]
    write_markets(connection, series, "1h")


REAL = (
    "SELECT open_time::TIMESTAMP AS open_time, open, high, low, close, volume, "
    "row_number() OVER (ORDER BY open_time) AS n "
    "FROM read_parquet('{path}') WHERE open_time >= '2018-01-10' ORDER BY open_time LIMIT 3900"
)
