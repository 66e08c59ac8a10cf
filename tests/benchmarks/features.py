"""Feature tables: a full build in dbt against plain Python, the increment of a few candles, and the cost of a row."""

from __future__ import annotations

import os
import resource
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from flows.warehouse.transform import run_dbt, write_markets
from flows.workspace.database import Warehouse
from ml.series import Series
from tests.benchmarks import plain_features
from tests.benchmarks.pairing import report, seconds

MARKETS = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "ADA/USDT")
ROWS = int(os.environ.get("CANDLEWORKS_BENCH_ROWS", "1000000"))
NEW_ROWS = 300
MINUTE_MS = 60_000
FIRST_MS = 1_600_000_020_000  # a full minute
BUILD = ["run", "--select", "+fct_features"]


@dataclass(frozen=True)
class Build:
    """What a dbt run took: wall seconds of all models, of the feature models, of dbt's start; peak memory of dbt."""

    models: float
    features: float
    start: float
    peak_gib: float


class Home:
    """A warehouse of simulated one-minute candles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warehouse = Warehouse(folder / "warehouse.duckdb")
        self.target = folder / "dbt"
        with self.warehouse.connect() as connection:
            series = [Series(exchange="simulated", symbol=symbol, timeframe="1m") for symbol in MARKETS]
            write_markets(connection, series, "1m")

    def load(self, first: int, rows: int, load_id: int) -> None:
        """Append candles number `first` and following of every market."""
        with self.warehouse.connect() as connection:
            for number, symbol in enumerate(MARKETS):
                candles = _candles(number, first, rows)  # noqa: F841 - DuckDB reads the dictionary by its name
                connection.execute(
                    "insert into raw.candles by name select 'simulated' as exchange, ? as symbol, '1m' as timeframe, "
                    "make_timestamp_ms(open_ms) as open_time, open, high, low, close, volume, ? as load_id, "
                    "timestamp '2026-01-01' as loaded_at from candles",
                    [symbol, load_id],
                )

    def build(self, *options: str) -> Build:
        """Run dbt over it."""
        command = [*BUILD, *options]
        os.sync()  # gigabytes that were written before would be written to disk now
        wall = seconds(
            lambda: run_dbt(self.warehouse.path, command, target_path=self.target, log_path=self.folder / "logs")
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        models = self._seconds("true")
        features = self._seconds(
            "unique_id like '%int_candles__lists' or unique_id like '%int_features__%' "
            "or unique_id like '%featured' or unique_id like '%tails'"
        )
        return Build(models, features, wall - models, peak)

    def _seconds(self, models: str) -> float:
        """From the start of the first of some models to the end of the last one, as dbt wrote it down."""
        rows = duckdb.sql(
            "select extract(epoch from max(t.completed_at) - min(t.started_at)) from (select unnest(timing) as t, "
            f"unique_id from (select unnest(results, recursive := true) from '{self.target}/run_results.json')) "
            f"where {models}"
        ).fetchone()
        return float(rows[0]) if rows else float("nan")


def _candles(number: int, first: int, rows: int) -> dict[str, Any]:
    """A random walk that goes on where it was: candle i depends on the seed and on the candles before it."""
    draws = np.random.default_rng(number).normal(size=(first + rows, 4))
    close = 100 * np.exp(np.cumsum(0.0005 * draws[:, 0]))
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) * np.exp(0.0003 * np.abs(draws[:, 1]))
    low = np.minimum(opened, close) * np.exp(-0.0003 * np.abs(draws[:, 2]))
    columns = {"open": opened, "high": high, "low": low, "close": close, "volume": np.exp(draws[:, 3])}
    times = FIRST_MS + MINUTE_MS * np.arange(first + rows)
    return {"open_ms": times[first:], **{name: values[first:] for name, values in columns.items()}}


def _plain_candles(number: int, rows: int) -> dict[str, Any]:
    candles = _candles(number, 0, rows)
    times = candles.pop("open_ms")
    return candles | {"candle_id": times, "run_length": np.arange(1, rows + 1)}


def feature_build(name: str) -> None:
    """Full build of all feature columns against the same indicator calls in plain Python plus one Parquet write."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.load(0, ROWS, 1)
        ours = home.build()
        work = plain_features.read_work(home.target)
        os.sync()
        markets = [partial(dict, _plain_candles(number, ROWS)) for number in range(len(MARKETS))]
        reference = seconds(lambda: plain_features.build(work, markets, Path(folder) / "plain.parquet"))
        columns = sum(len(model.columns) for model in work)
        size = f"{columns} columns x {len(MARKETS)} x {ROWS:,} rows"
        report(name, ours.features, reference, ours.features / reference, f"s, {size}")
        report(f"{name}_with_candle_tables", ours.models, reference, ours.models / reference, f"s, {size}")
        report(f"{name}_peak_memory", ours.peak_gib, 12.0, ours.peak_gib / 12.0, "GiB of the dbt process, limit")
        home.load(ROWS, NEW_ROWS, 2)
        new = home.build()
        share = new.models / ours.models
        report(
            "feature_increment", new.models, ours.models, share, f"s, {NEW_ROWS} new candles of each market, full build"
        )
        report(
            "feature_increment_dbt_start", new.start, ours.start, new.start / ours.start, "s, dbt's start, full build's"
        )


def feature_row_cost(name: str) -> None:
    """Cost of a row in a small build, and in one of five million rows, against one of a million."""
    cost = {}
    for total in (100_000, 1_000_000, 5_000_000):
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder))
            home.load(0, total // len(MARKETS), 1)
            cost[total] = 1e6 * home.build().models / total
    for total in (100_000, 5_000_000):
        report(f"{name}_{total}", cost[total], cost[1_000_000], cost[total] / cost[1_000_000], "us a row")
