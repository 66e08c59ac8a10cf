"""Exogenous series: market data other than candles, loaded from files into raw.

A slot (sentiment, funding rate, order book) takes values with the time from which each was available (`available_at`).
Nothing is overwritten: a value that differs from the stored one becomes a new row with a larger load id, and dbt takes
the newest. Features join a value only to candles that open at that time or later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import yaml

from flows.warehouse.transform import dbt_project
from flows.workspace.loads import Load, next_load_id, write_load
from flows.workspace.workspace import Workspace
from ml.errors import CandleDataError, ConfigurationError
from ml.texts import one_line
from ml.timeframes import naive_utc

ALL_MARKETS = ""
COLUMNS = ("available_at", "value")


@dataclass(frozen=True)
class ExogenousReport:
    """Outcome of loading a file: number of values read, of new ones, and of those that revise a stored one."""

    name: str
    symbol: str
    received: int
    inserted: int
    revised: int


def slots() -> tuple[str, ...]:
    """Names of the exogenous series that the dbt project supports (its variable `exogenous_series`)."""
    return tuple(yaml.safe_load((dbt_project() / "dbt_project.yml").read_text("utf-8"))["vars"]["exogenous_series"])


def read_exogenous(path: Path) -> pd.DataFrame:
    """The values of a file, oldest first.

    Args:
        path: CSV or Parquet with the columns available_at (times; without a zone they are UTC) and value.

    Returns:
        Columns available_at (UTC, microseconds) and value (float64).

    Raises:
        CandleDataError: the file cannot be read, lacks a column, or holds an invalid time or a non-finite number.
    """
    frame = _read(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise CandleDataError(f"{path} lacks the columns {' '.join(missing)}. It needs {' '.join(COLUMNS)}.")
    if frame.empty:
        raise CandleDataError(f"{path} holds no value. Give a file with rows.")
    values = pd.DataFrame(
        {"available_at": _times(path, frame["available_at"]), "value": _numbers(path, frame["value"])}
    )
    repeated = values["available_at"].duplicated()
    if repeated.any():
        raise CandleDataError(
            f"{path} holds {values['available_at'][repeated].iloc[0]} more than once. Keep one value per time."
        )
    return values.sort_values("available_at", ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix not in (".csv", ".parquet"):
        raise CandleDataError(f"{path} is neither CSV nor Parquet. Give a file that ends in .csv or .parquet.")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except Exception as error:  # pandas and pyarrow raise many types for an unreadable file
        reason = one_line(error)
        raise CandleDataError(f"{path} cannot be read ({reason}). Replace it.") from error


def _times(path: Path, column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        # pandas would silently read numbers as nanoseconds.
        raise CandleDataError(f"{path} holds numbers in available_at. Write times like 2024-04-21T15:00Z.")
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601").astype("datetime64[us, UTC]")
    if times.isna().any():
        found = column[times.isna()].iloc[0]
        raise CandleDataError(f"{path} holds '{found}' in available_at. Write times like 2024-04-21T15:00Z.")
    return times


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    bad = ~np.isfinite(numbers)
    if bad.any():
        found = column[bad].iloc[0]
        raise CandleDataError(f"{path} holds '{found}' in value. Give a finite number in every row.")
    return numbers


def check_slot(workspace: Workspace, name: str, symbol: str) -> None:
    """Make sure that slot and market exist.

    Raises:
        ConfigurationError: one of them does not.
    """
    if name not in slots():
        raise ConfigurationError(f"There is no exogenous series {name!r}. Use one of {' '.join(slots())}.")
    symbols = workspace.settings.markets.symbols
    if symbol != ALL_MARKETS and symbol not in symbols:
        raise ConfigurationError(
            f"{symbol!r} is not a market of the settings. Use one of {' '.join(symbols)}, or omit --symbol for all."
        )


def load_exogenous(workspace: Workspace, name: str, symbol: str, values: pd.DataFrame, now_ms: int) -> ExogenousReport:
    """Append the new and changed values.

    Args:
        workspace: the target.
        name: one of `slots()`.
        symbol: the market of the values; `ALL_MARKETS` for all markets that have none of their own.
        values: as returned by `read_exogenous`.
        now_ms: the exchange's time.

    Raises:
        ConfigurationError: there is no such slot or market.
        CandleDataError: a value is available only in the future; nothing is stored.
    """
    check_slot(workspace, name, symbol)
    last, now = values["available_at"].iloc[-1], pd.Timestamp(now_ms, unit="ms", tz="UTC")
    if last > now:
        raise CandleDataError(
            f"A value of {last} cannot be known yet: the exchange's clock says {now}. "
            "Give the times, in UTC, from which each value was available."
        )
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        connection.execute("begin")
        inserted, revised = _append(connection, name, symbol, values, now_ms)
        connection.execute("commit")
    return ExogenousReport(name, symbol, len(values), inserted, revised)


def _append(
    connection: duckdb.DuckDBPyConnection, name: str, symbol: str, values: pd.DataFrame, now_ms: int
) -> tuple[int, int]:
    """Store the new and changed rows, and record the load if there are any; returns the counts (new, revised)."""
    naive = values.assign(available_at=values["available_at"].dt.tz_localize(None))  # noqa: F841 - DuckDB reads it
    known = """
        select available_at, value from raw.outside where name = ? and symbol = ?
        qualify row_number() over (partition by available_at order by load_id desc) = 1
    """
    connection.execute(
        f"create or replace temp table fresh as select naive.*, known.available_at is not null as revised "
        f"from naive left join ({known}) as known using (available_at) where naive.value is distinct from known.value",
        [name, symbol],
    )
    counts = connection.execute("select count(*) filter (not revised), count(*) filter (revised) from fresh").fetchone()
    inserted, revised = counts or (0, 0)
    if inserted or revised:
        now = naive_utc(now_ms)
        load_id = next_load_id(connection)
        key = ["outside", symbol, ""]
        write_load(connection, Load(load_id, key, now, load_id, len(values), inserted, revised, 0, message=name))
        connection.execute(
            "insert into raw.outside select ?, ?, available_at, value, ?, ? from fresh", [name, symbol, load_id, now]
        )
    return inserted, revised
