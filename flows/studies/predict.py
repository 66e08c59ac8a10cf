"""Bulk inference: a saved model over recorded candles, years of several markets at once, on all cores.

A model of raw candles, such as charts, needs nothing but the files. For one of features the candles take the platform's
own way, in a temporary home: the recorded exchange, the quality gate, dbt; so a feature is the same as in training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from flows.reporting import Reporter, Step, Terminal
from flows.server.flow_runs import run_flow
from flows.server.prefect_server import prefect_settings
from flows.settings import Overrides, load_settings
from flows.workspace.workspace import Workspace
from ml.data.dataset_pointers import current_datasets
from ml.data.datasets import read_dataset
from ml.data.feature_tables import TIME, read_feature_table
from ml.data.targets import Floats
from ml.errors import CandleDataError
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.bulk import columns_of, in_quote, predicted, whole_rows
from ml.forecasting.model_folder import ModelFolder
from ml.forecasting.model_store import load_model, resolved
from ml.models import MODELS
from ml.search.cases import TestCase
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds

#: Rows of one job of a worker process: seconds of charts.
ROWS_OF_JOB = 4_096


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a market: open times (n,), columns (n, f), last closes (n,)."""

    symbol: str
    open_time_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    closes: Floats


def predict(
    workspace: Workspace, identity: str, candles: Path, symbols: Sequence[str], config: Path | None, reporter: Reporter
) -> pd.DataFrame:
    """Predictions of a saved model for every row of recorded candles that has a whole window.

    Args:
        workspace: its store has the model.
        identity: id of the model, or an unambiguous beginning of it.
        candles: folder ``{exchange}/{BASE-QUOTE}/{timeframe}.parquet``.
        symbols: markets; none for all that are recorded at the model's timeframe.
        config: the settings file, for features.
        reporter: receives the progress.

    Returns:
        symbol, open_time (UTC, of the last known candle), last close, and the columns of the target: high, low and
        close in quote units, other labels in their own units, probabilities of classes or events.

    Raises:
        StoreError: there is no such model.
        CandleDataError: there are no such candles, or no row has a whole window.
    """
    model_id = resolved(workspace.store, identity)
    case = ModelFolder.open(workspace.store, model_id).case
    source = RecordedCandles(candles, workspace.settings.exchange.id)
    if MODELS[case.model].inputs == "candles":
        timeframe = case.series.timeframe
        tables = [_of_candles(source, one, timeframe) for one in _markets(source, timeframe, symbols, candles)]
    else:
        # Features may look inside of a candle, at those of the timeframe that is downloaded.
        chosen = _markets(source, workspace.settings.markets.base_timeframe, symbols, candles)
        tables = _of_features(source, chosen, case, config, reporter)
    with reporter.step("predictions") as step:
        frame = _predicted(workspace, model_id, case, tables, step)
        step.say(f"{len(frame):,} rows of {len(tables)} markets")
    return frame


def _markets(source: RecordedCandles, timeframe: str, symbols: Sequence[str], folder: Path) -> list[str]:
    there = [symbol for symbol, timeframes in source.markets().items() if timeframe in timeframes]
    missing = [symbol for symbol in symbols if symbol not in there]
    if missing or not there:
        listed = ", ".join(there) or "none"
        raise CandleDataError(
            f"No {timeframe} candles of {', '.join(missing) or 'any market'} in {folder}. With that timeframe there "
            f"are: {listed}. Choose one with --symbol, or record the timeframe."
        )
    return list(symbols) or there


def _of_candles(source: RecordedCandles, symbol: str, timeframe: str) -> Inputs:
    found = source.candles(symbol, timeframe)
    # As in the warehouse, the last of repeated rows counts.
    last = np.append(np.diff(found.open_time_ms) > 0, True)
    values = found.values[last]
    return Inputs(symbol, found.open_time_ms[last], values.astype(np.float32), values[:, 3])


def _of_features(
    source: RecordedCandles, symbols: Sequence[str], case: TestCase, config: Path | None, reporter: Reporter
) -> list[Inputs]:
    """The features of the candles, computed by the platform in a temporary home."""
    timeframe, base = case.series.timeframe, load_settings(config).markets.base_timeframe
    end_ms = max(int(source.candles(symbol, base).open_time_ms[-1]) for symbol in symbols) + milliseconds(base)
    overrides: Overrides = {
        "combine": {"sources": []},
        "markets": {"symbols": list(symbols), "timeframes": [timeframe]},
    }
    with (
        tempfile.TemporaryDirectory(prefix="candleworks-") as folder,
        run_flow(Workspace(Path(folder), load_settings(config)), Terminal(stderr=True), quiet=True) as run,
        ReplayServer(source, ReplayClock(end_ms)) as server,
        prefect_settings({"CANDLEWORKS_EXCHANGE__BASE_URL": server.url, "CANDLEWORKS_STORAGE__URL": ""}),
        reporter.step("features") as step,
    ):
        # Prefect reads its settings when it is imported.
        from flows.ingestion.markets import run_ingest  # noqa: PLC0415
        from flows.pipeline import run_export, run_features  # noqa: PLC0415

        place = Workspace(Path(folder), load_settings(config, overrides))
        run("bulk-ingest", lambda _, silent: run_ingest(place, silent))
        run("bulk-features", lambda _, silent: run_features(place, silent))
        run("bulk-export", lambda _, silent: run_export(place, silent))
        step.say(f"{len(symbols)} markets")
        exchange = place.settings.exchange_name
        series = [Series(exchange=exchange, symbol=symbol, timeframe=timeframe) for symbol in symbols]
        return [_of_table(place.store, one, case) for one in series]


def _of_table(store: Store, series: Series, case: TestCase) -> Inputs:
    table = read_feature_table(store, series, list(case.features))
    times = table[TIME].to_numpy()
    values = np.column_stack([table[name].to_numpy(zero_copy_only=False) for name in case.features]).astype(np.float32)
    dataset = read_dataset(store, current_datasets(store)[series])
    candles = pd.Series(np.asarray(dataset.candles[:, 3], np.float64), np.asarray(dataset.open_time_ms))
    closes = candles.reindex(times).to_numpy(np.float64)
    values[~np.isfinite(closes)] = np.nan  # no candle, no forecast
    return Inputs(series.symbol, times, values, np.asarray(closes, np.float64))


def _predicted(
    workspace: Workspace, model_id: str, case: TestCase, tables: Sequence[Inputs], step: Step
) -> pd.DataFrame:
    """All rows of all markets, in jobs for the worker processes."""
    step_ms = milliseconds(case.series.timeframe)
    rows = [whole_rows(one.open_time_ms, one.values, case.lags, step_ms) for one in tables]
    if not any(map(len, rows)):
        raise CandleDataError(
            f"No row of {', '.join(one.symbol for one in tables)} has the {case.lags} gapless rows that model "
            f"{model_id} needs. Record longer candles."
        )
    jobs = [
        (number, part)
        for number, found in enumerate(rows)
        for part in np.split(found, range(ROWS_OF_JOB, len(found), ROWS_OF_JOB))
        if len(part)
    ]
    with workspace.local_pool() as pool, ThreadPoolExecutor(pool.size) as executor:

        def job(work: tuple[int, npt.NDArray[np.intp]]) -> Floats:
            number, part = work
            first = int(part[0]) - case.lags + 1
            values = tables[number].values[first : int(part[-1]) + 1]
            return pool.run(predict_part, workspace.store_url, model_id, values, part - first)

        answers: list[Floats] = []
        for labels in executor.map(job, jobs):
            answers.append(labels)
            step.count(len(answers), len(jobs))
    return pd.concat(
        [_frame(case, tables[number], part, labels) for (number, part), labels in zip(jobs, answers, strict=True)],
        ignore_index=True,
    )


def _frame(case: TestCase, table: Inputs, rows: npt.NDArray[np.intp], labels: Floats) -> pd.DataFrame:
    shown = in_quote(case, labels, table.closes[rows])
    opened = pd.to_datetime(table.open_time_ms[rows], unit="ms", utc=True)
    return pd.DataFrame({
        "symbol": table.symbol, "open_time": opened, "last_close": table.closes[rows],
        **{name: shown[:, place] for place, name in enumerate(columns_of(case))},
    })  # fmt: skip


@lru_cache(maxsize=1)
def _loaded(store_url: str, model_id: str) -> tuple[TestCase, Ensemble]:
    case, ensemble, _ = load_model(Store(store_url), model_id)
    return case, ensemble


def predict_part(store_url: str, model_id: str, values: npt.NDArray[np.float32], rows: npt.NDArray[np.intp]) -> Floats:
    """A job for a worker process: predictions for the windows of a table that end at the rows."""
    case, ensemble = _loaded(store_url, model_id)
    return predicted(ensemble, values, rows, case.lags)
