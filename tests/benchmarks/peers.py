"""Forecasters of other projects next to ours: on the same real candles, with the same metric, on one core.

BTC/USDT 1h: the first 60 % of the candles to fit, the latest `SCORED` usable rows of the next 20 % to score; the last
20 % are not read. Peers forecast the range of the next candle; its high and low are the range times one factor each,
least squares on the train rows, as of the baseline pooled_range, and the close is the last close. Skill is 1 -
rmse_pct / rmse_pct of ewma_range over high, low and close; on 2,000 rows a few tenths of a percent may be luck. A case
is one fit and its forecasts of the scored rows; the features of ours are built before, once for all cases. Slow peers
are fitted on fewer rows, or see fewer: `peer_models.py`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows.warehouse.export import export_dataset
from flows.warehouse.transform import feature_catalogue, run_dbt, write_markets
from flows.workspace.database import Warehouse
from ml.data.datasets import Dataset
from ml.data.targets import HIGH, LOW, Floats, coherent
from ml.evaluation.evaluate import fit_rows
from ml.evaluation.preparation import PreparedCase, prepare
from ml.metrics.baselines import Baselines
from ml.metrics.prices import relative_errors, rmse_pct, skill
from ml.metrics.scorer import Rows
from ml.search.cases import EVALUATION, TestCase
from ml.series import Series
from tests.benchmarks.environments import run_script
from tests.conftest import REPOSITORY

SERIES = Series(exchange="binance", symbol="BTC/USDT", timeframe="1h")
GROUPS = ("har", "season")
SCORED = int(os.environ.get("CANDLEWORKS_BENCH_SCORED", "2000"))
SCRIPT = Path(__file__).with_name("peer_models.py")

_COMMON = ("pandas==2.3.3", "numpy==2.4.6", "scipy==1.15.3")
_STATSFORECAST = (*_COMMON, "statsforecast==2.0.3", "numba==0.68.1", "utilsforecast==0.2.17")
_MLFORECAST = (*_COMMON, "mlforecast==1.1.0", "lightgbm==4.7.0", "scikit-learn==1.9.1", "utilsforecast==0.2.17")
#: Peer of `peer_models.py` -> its requirements; pandas < 3, which ours has.
PEERS = {
    "statsforecast_AutoETS": _STATSFORECAST,
    "statsforecast_AutoARIMA": _STATSFORECAST,
    "statsforecast_DynamicOptimizedTheta": _STATSFORECAST,
    "mlforecast_LightGBM": _MLFORECAST,
    "arch_GARCH": (*_COMMON, "arch==8.0.0"),
}


@dataclass(frozen=True, eq=False)
class Task:
    """The rows that all sides are fitted on and scored on.

    Attributes:
        prepared: the case of ours, bound to the dataset.
        train: rows to fit on.
        scored: rows to score, each of which forecasts the candle after it.
    """

    prepared: PreparedCase
    train: Rows
    scored: Rows

    def error(self, forecast: Floats) -> float:
        """rmse_pct of labels (m, 3) for the scored rows."""
        return rmse_pct(relative_errors(forecast, self.prepared.labels[self.scored]))

    def from_ranges(self, fitted: Floats, forecast: Floats) -> Floats:
        """Labels (m, 3) from forecasts of the range (m,), with factors from in-sample ones (n_train,) by candle."""
        rows = self.train[self.train + 1 < len(fitted)]
        rows = rows[np.isfinite(fitted[rows + 1])]
        known = fitted[rows + 1]
        labels = np.zeros((len(forecast), 3))
        for label in (HIGH, LOW):
            factor = known @ self.prepared.labels[rows, label] / (known @ known)
            labels[:, label] = factor * forecast
        return coherent(labels)


def candles_folder() -> Path:
    """Where recorded real candles are expected."""
    return Path(os.environ.get("CANDLEWORKS_CANDLES", REPOSITORY.parent / "shared" / "candles"))


def recorded_features(path: Path, folder: Path) -> Dataset:
    """The first 80 % of recorded candles with the columns of `GROUPS`, built by dbt in a new warehouse."""
    frame = pd.read_parquet(path, columns=["open_time", "open", "high", "low", "close", "volume"])
    frame = frame.iloc[: int(0.8 * len(frame))].assign(
        **SERIES.key,
        open_time=lambda rows: rows["open_time"].dt.tz_localize(None),
        load_id=1,
        loaded_at=pd.Timestamp(0),
    )
    warehouse = Warehouse(folder / "warehouse.duckdb")
    with warehouse.connect() as connection:
        write_markets(connection, [SERIES], SERIES.timeframe)
        connection.register("frame", frame)
        connection.execute("insert into raw.candles by name select * from frame")
    run_dbt(
        warehouse.path,
        ["run", "--select", "+fct_features", "+fct_labels", "fct_candles"],
        target_path=folder / "dbt",
        log_path=folder / "logs",
    )
    groups = {one["column"]: one["group"] for one in feature_catalogue(folder / "dbt") if one["group"] in GROUPS}
    with warehouse.connect() as connection:
        return export_dataset(connection, SERIES, groups)


def make_task(dataset: Dataset) -> Task:
    """The case of ours, ridge on `GROUPS` with weighted rows, and the rows of all sides."""
    case = TestCase(
        series=dataset.series,
        features=dataset.columns,
        model="ridge",
        weights="inverse_scale",
        train_fraction=0.75,  # of the first 80 %: 60 % of all
        validation_fraction=0.2,
        evaluation=EVALUATION,  # the close is the last close, as that of all sides
    )
    prepared = prepare(case, dataset)
    usable = np.flatnonzero(prepared.usable)
    start = prepared.split.validation[0]
    return Task(prepared, prepared.rows("train"), usable[usable >= start][-SCORED:])


def our_sides(task: Task) -> dict[str, Callable[[], Floats]]:
    """Name -> what makes the forecasts (m, 3) of the scored rows."""
    prepared, dataset = task.prepared, task.prepared.dataset

    def baseline(name: str) -> Callable[[], Floats]:
        def forecast() -> Floats:
            candles = np.asarray(dataset.candles)
            made = Baselines(candles, prepared.labels, dataset.open_time_ms, dataset.timeframe_ms)
            return made.forecast(name, task.scored, task.train)

        return forecast

    def ridge() -> Floats:
        return fit_rows(prepared, task.train).predict(prepared.windows_at(task.scored))

    return {
        "candleworks_ewma_range": baseline("ewma_range"),
        "candleworks_har_range": baseline("har_range"),
        "candleworks_ridge_har_season": ridge,
    }


def write_inputs(task: Task, path: Path) -> None:
    """The candles as `peer_models.py` reads them."""
    dataset = task.prepared.dataset
    candles = np.asarray(dataset.candles)
    times = pd.to_datetime(np.asarray(dataset.open_time_ms), unit="ms")
    # A candle that did not move has no logarithm of its range: it gets the smallest one of a real move, nearly.
    ranges = np.maximum(np.log(candles[:, 1] / candles[:, 2]), 1e-5)
    close = candles[:, 3]
    np.savez(
        path,
        log_range=np.log(ranges),
        log_return=np.diff(np.log(close), prepend=np.log(close[0])),
        hour=times.hour.to_numpy(),
        weekday=times.day_of_week.to_numpy(),
        n_train=task.train[-1] + 2,  # the label of the last train row is of the candle after it
        scored=task.scored + 1,
    )


def run_peer(peer: str, requirements: tuple[str, ...], inputs: Path, folder: Path) -> dict[str, Any]:
    """The arrays that the peer has written, from an environment that uv makes for it.

    Raises:
        RuntimeError: it cannot be installed, fails or takes too long; the message is its own last line.
    """
    outputs = folder / f"{peer}.npz"
    run_script(SCRIPT, [peer, str(inputs), str(outputs)], requirements, folder)
    with np.load(outputs) as stored:
        return dict(stored)


def _line(**figures: Any) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def peers(name: str) -> None:
    """Skill and cases an hour of every side, one JSON line each; a peer that fails has its error instead."""
    path = candles_folder() / "binance" / "BTC-USDT" / "1h.parquet"
    if not path.exists():
        sys.stderr.write(f"{name}: skipped, no recorded candles at {path}; set CANDLEWORKS_CANDLES to their folder\n")
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        task = make_task(recorded_features(path, folder))
        compare(name, task, folder)


def compare(name: str, task: Task, folder: Path) -> None:
    """Print the lines of all sides; `folder` is for the peers' files."""
    reference = task.error(our_sides(task)["candleworks_ewma_range"]())

    def told(side: str, forecast: Floats, seconds: float) -> None:
        error = task.error(forecast)
        figures = {"rmse_pct": round(error, 4), "skill_pct": round(100 * skill(error, reference), 2)}
        hourly = {"seconds": round(seconds, 3), "cases_per_hour": round(3600 / seconds)}
        _line(name=name, side=side, rows=len(task.scored), **figures, **hourly)

    for side, forecasts in our_sides(task).items():
        forecasts()  # peers are run on a few candles before they are timed, too
        started = time.perf_counter()
        forecast = forecasts()
        told(side, forecast, time.perf_counter() - started)
    inputs = folder / "inputs.npz"
    write_inputs(task, inputs)
    for peer, requirements in PEERS.items():
        try:
            made = run_peer(peer, requirements, inputs, folder)
        except RuntimeError as error:
            _line(name=name, side=peer, error=str(error))
            continue
        told(peer, task.from_ranges(made["fitted"], made["forecast"]), float(made["seconds"]))
