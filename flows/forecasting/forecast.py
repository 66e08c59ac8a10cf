"""Forecast and score: seal one forecast for every next candle, and its score once that candle has closed."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import duckdb

from flows.forecasting.anchor import anchor_heads
from flows.forecasting.inputs import (
    ChampionInputs,
    best_baseline,
    candle_history,
    champion_inputs,
    newest_open_ms,
    young_markets,
)
from flows.ingestion.exchange import exchange_time_ms
from flows.warehouse.load import last_time_ms, load_into
from flows.workspace.workspace import Workspace
from ml.errors import CandleworksError, StoreIOError
from ml.forecasting.contributions import explain
from ml.forecasting.forecast import forecast_candle, is_young, served_baseline
from ml.forecasting.history import History
from ml.forecasting.model_folder import seal_of
from ml.forecasting.model_store import load_model
from ml.forecasting.scoring import score_forecast
from ml.forecasting.young_markets import ALL_MARKETS
from ml.promotion.verdicts import champions, champions_among, read_verdicts, why_no_champion
from ml.records import CandleForecast, ForecastRecord, ScoreRecord, SeriesKey, VerdictRecord
from ml.series import Series
from ml.timeframes import milliseconds

DEFAULT_BASELINE = "har_range"

_logger = logging.getLogger(__name__)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat()


def _why_novel(champion: VerdictRecord, novelty: float | None) -> str:
    """Why the champion does not serve inputs of this novelty; empty if it may."""
    if novelty is None or novelty <= 1:
        return ""
    return (
        f"the inputs are unlike those that the champion {champion['model']} learnt from: {novelty:.2f} times as far "
        "from them as its limit, which 1 % of ordinary candles exceed"
    )


def _open_candle(
    connection: duckdb.DuckDBPyConnection, series: Series, now_ms: int, stale_candles: int
) -> tuple[int, int] | None:
    """The candle to forecast now: its open time, and the candles that are missing before it.

    None if it has a forecast, nothing was loaded, or more than `stale_candles` are missing.
    """
    length, newest_ms = milliseconds(series.timeframe), newest_open_ms(connection, series)
    if newest_ms is None:
        return None
    known_ms = newest_ms + length
    target_open_ms = max(now_ms // length * length, known_ms)
    missing = (target_open_ms - known_ms) // length
    exists = connection.execute(
        "select count(*) from raw.forecasts where exchange = ? and symbol = ? and timeframe = ? "
        "and epoch_ms(target_open_time) >= ?",
        [series.exchange, series.symbol, series.timeframe, target_open_ms],
    ).fetchone()
    # With several sources the clock may be of one that is slightly behind: by it the last candle is still open.
    if (exists and exists[0]) or now_ms < target_open_ms or missing > stale_candles:
        return None
    return target_open_ms, missing


def forecast_series(
    workspace: Workspace,
    connection: duckdb.DuckDBPyConnection,
    series: Series,
    champion: VerdictRecord | None,
    now_ms: int,
    why_none: str = "",
) -> ForecastRecord | None:
    """The forecast of the candle that is open now, to be issued; None if it exists or cannot be made.

    Every candle has one, even after a gap: the baseline then forecasts from the last known close. `why_none` says why
    there is no champion.
    """
    settings, length = workspace.settings.forecast, milliseconds(series.timeframe)
    target = _open_candle(connection, series, now_ms, settings.stale_candles)
    if target is None:
        return None
    target_open_ms, missing = target
    history = replace(candle_history(connection, series), missing=missing)
    reason, novelty, inputs = _why_baseline(missing) if champion else why_none, None, None
    if champion is not None and not reason:
        found = champion_inputs(workspace.store, connection, series, champion)
        novelty = None if isinstance(found, str) else found.novelty
        reason = found if isinstance(found, str) else _why_novel(champion, novelty)
        inputs = None if isinstance(found, str) or reason else found
    try:
        candle, refused = _candle(workspace, connection, series, history, inputs)
    except ValueError:
        return None  # too little history for a prediction interval
    if refused:
        reason, inputs = f"the champion {champion['model'] if champion else ''} was refused: {refused}", None
    if candle["baseline"] == ALL_MARKETS:
        reason = (
            f"the market has {len(history.candles):,} candles and no case of its own was evaluated: "
            "it is forecast from the other markets"
        )
    served = champion if inputs else None
    forecast = {
        **series.key,
        "target_open_time": _iso(target_open_ms),
        "target_close_time": _iso(target_open_ms + length),
        # The newest information in the forecast is the close of the newest candle.
        "information_time": _iso(target_open_ms - missing * length),
        "deadline": _iso(target_open_ms + int(settings.grace_fraction * length)),
        **candle,
        "model": served["model"] if served else "baseline",
        "model_id": served["model_id"] if served else None,
        "case_key": served["case_key"] if served else None,
        "lineage": inputs.lineage if inputs else None,
        "reason": reason,
        "novelty": novelty,
        "contributions": explain(inputs.ensemble, inputs.window, inputs.columns) if inputs else None,
    }
    return cast(ForecastRecord, forecast)


def _candle(
    workspace: Workspace,
    connection: duckdb.DuckDBPyConnection,
    series: Series,
    history: History,
    inputs: ChampionInputs | None,
) -> tuple[CandleForecast, str]:
    """The candle as the champion forecasts it, else the other markets or the baseline; and why a champion was refused.

    Raises:
        ValueError: too few candles are known for a prediction interval.
    """
    best = best_baseline(connection, series)
    baseline, refused = served_baseline(history, best or DEFAULT_BASELINE), ""
    if inputs is not None:
        try:
            return forecast_candle(history, baseline, inputs.ensemble, inputs.window, inputs.band_scores), ""
        except CandleworksError as error:
            refused = str(error)
    young = young_markets(workspace, connection, series, history) if is_young(history, best) else None
    return forecast_candle(history, baseline, young=young), refused


def _why_baseline(missing: int) -> str:
    """Why the champion does not serve with `missing` candles before the one to forecast; empty if it may."""
    if missing:
        return f"{missing} closed candle{'s are' if missing > 1 else ' is'} missing before this one: the data are stale"
    return ""


def _issued(body: ForecastRecord, now_ms: int) -> ForecastRecord:
    now = _iso(now_ms)
    return {**body, "issued_at": now, "late": datetime.fromisoformat(now) > datetime.fromisoformat(body["deadline"])}


def load_libraries(workspace: Workspace) -> None:
    """Load each champion in a background thread, only so that its libraries, which take seconds, are imported.

    Errors are ignored: making the forecast reports them.
    """

    def load() -> None:
        store = workspace.store
        for verdict in champions(store, workspace.settings.series()).values():
            with contextlib.suppress(CandleworksError):
                load_model(store, verdict["model_id"], seal_of(verdict))

    threading.Thread(target=load, name="libraries", daemon=True).start()


def forecast_all(workspace: Workspace) -> list[ForecastRecord]:
    """Seal a forecast for every series whose next candle has none yet; returns the new ones.

    A series that fails, of any cause, does not stop the others: it is logged, and has no forecast.

    The warehouse is locked from reading the existing forecasts until the last seal: of an hourly and a nightly flow at
    the same time, the second finds the forecasts of the first. The exchange's time is requested before each seal, since
    waiting for the warehouse and loading champions can take longer than the grace. At the end the heads are anchored.

    Raises:
        StoreIOError: the store cannot be read or written.
        Exception: every series failed; the error of the last one.
    """
    settings, store = workspace.settings, workspace.store
    chain = workspace.chain("forecasts")
    made: list[ForecastRecord] = []
    failed: list[Exception] = []
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, workspace)
        series = settings.series()
        verdicts = read_verdicts(store)
        promoted = champions_among(verdicts, series)
        now_ms = exchange_time_ms(settings)
        # With several sources another one may answer this time, with a slower clock: stamps must never decrease.
        issued_ms = last_time_ms(connection, "forecasts", "issued_at")
        for one in series:
            why_none = why_no_champion(one, verdicts)
            try:
                body = forecast_series(workspace, connection, one, promoted.get(one), now_ms, why_none)
            except StoreIOError:  # it concerns all series; the task tries again
                raise
            except Exception as error:  # of any library or stored file
                failed.append(error)
                _logger.exception("%s has no forecast of its next candle. The other series have theirs.", one)
                continue
            if body is not None:
                issued_ms = max(issued_ms, exchange_time_ms(settings))
                made.append(chain.append(_issued(body, issued_ms))["body"])
    if len(failed) == len(series):
        raise failed[-1]
    anchor_heads(store, settings.seal, max(now_ms, issued_ms))
    return made


# A forecast is due if its candle has arrived and it has no score, or one with other prices: the candle was revised.
_DUE = """
    select f.hash as forecast_hash, f.* exclude (hash, sequence), c.open as actual_open, c.high as actual_high,
        c.low as actual_low, c.close as actual_close, c.load_id as candle_load_id,
        coalesce(s.n_scores, 0) as revision
    from raw.forecasts as f
    inner join marts.fct_candles as c
        on c.exchange = f.exchange and c.symbol = f.symbol and c.timeframe = f.timeframe
        and c.open_time = f.target_open_time and not c.is_gap
    left join raw.latest_scores as s on s.forecast_hash = f.hash
    where epoch_ms(f.target_close_time) <= ? and (
        s.hash is null
        or (s.actual_open, s.actual_high, s.actual_low, s.actual_close) <> (c.open, c.high, c.low, c.close)
    )
    order by f.sequence
"""


class DueForecast(SeriesKey):
    """A row of `_DUE`: all of a sealed forecast, of which these columns are read here, and its candle."""

    forecast_hash: str
    target_open_time: datetime
    late: bool
    #: JSON; null in forecasts of earlier versions.
    rivals: str | None
    actual_open: float
    actual_high: float
    actual_low: float
    actual_close: float
    candle_load_id: int
    revision: int


def score_all(workspace: Workspace) -> list[ScoreRecord]:
    """Score every sealed forecast whose candle has closed and passed the gate; returns the new scores.

    A scored forecast whose candle has been revised since is scored again, as its next revision. Earlier scores stay in
    the chain.
    """
    chain = workspace.chain("scores")
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, workspace)
        now_ms = max(exchange_time_ms(workspace.settings), last_time_ms(connection, "scores", "scored_at"))
        due: list[DueForecast] = connection.execute(_DUE, [now_ms]).to_arrow_table().to_pylist()
        return [chain.append(_score_body(forecast, now_ms))["body"] for forecast in due]


def _score_body(forecast: DueForecast, now_ms: int) -> ScoreRecord:
    actual = {
        "open": forecast["actual_open"],
        "high": forecast["actual_high"],
        "low": forecast["actual_low"],
        "close": forecast["actual_close"],
    }
    rivals = json.loads(forecast["rivals"] or "{}")
    return {
        "forecast_hash": forecast["forecast_hash"],
        "exchange": forecast["exchange"],
        "symbol": forecast["symbol"],
        "timeframe": forecast["timeframe"],
        "late": forecast["late"],
        "revision": forecast["revision"],
        "target_open_time": forecast["target_open_time"].replace(tzinfo=UTC).isoformat(),
        "scored_at": _iso(now_ms),
        "candle_load_id": forecast["candle_load_id"],
        **score_forecast(cast(ForecastRecord, {**forecast, "rivals": rivals}), actual),
    }
