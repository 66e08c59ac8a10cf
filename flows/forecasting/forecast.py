"""Forecast and score: seal one forecast for every next candle, and its score once that candle has closed."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

import duckdb
import numpy as np
import pandas as pd

from flows.forecasting.anchor import anchor_heads
from flows.ingestion.exchange import exchange_time_ms
from flows.warehouse.feature_rows import feature_range
from flows.warehouse.fingerprints import stored_fingerprints
from flows.warehouse.load import load_into
from flows.workspace.workspace import Workspace
from ml.canonical import digest
from ml.data.datasets import changed_columns
from ml.data.targets import next_candle_labels
from ml.errors import CandleworksError
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.chain import Chain
from ml.forecasting.contributions import explain
from ml.forecasting.forecast import forecast_candle, is_young, served_baseline
from ml.forecasting.history import History
from ml.forecasting.model_store import load_model, load_novelty, read_card
from ml.forecasting.scoring import score_forecast
from ml.forecasting.young_markets import YoungMarkets
from ml.metrics.conformal import BandScores
from ml.models.base import Inputs
from ml.promotion.verdicts import champions, read_verdicts, why_no_champion
from ml.records import ForecastRecord, ScoreRecord, SeriesKey, VerdictRecord
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds

#: Closed candles whose features are read for a forecast: more than the lags of any case.
RECENT_CANDLES = 1100
#: Other markets from which a young one is forecast, at most.
MOST_OTHERS = 20
#: Closed candles that baselines are fitted on at most.
HISTORY_CANDLES = 50_000
DEFAULT_BASELINE = "har_range"


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat()


def _key(series: Series) -> list[str]:
    return [series.exchange, series.symbol, series.timeframe]


def recent_candles(connection: duckdb.DuckDBPyConnection, series: Series) -> pd.DataFrame:
    """The latest closed candles of a series with all features and the labels, oldest first."""
    return (
        connection.execute(
            """
            select epoch_ms(c.open_time) as open_time_ms, c.open, c.high, c.low, c.close, c.volume,
                l.label_high, l.label_low, l.label_close, f.* exclude (exchange, symbol, timeframe, open_time)
            from marts.fct_features as f
            inner join marts.fct_candles as c using (exchange, symbol, timeframe, open_time)
            left join marts.fct_labels as l using (exchange, symbol, timeframe, open_time)
            where f.candle_id between ? and ? and exchange = ? and symbol = ? and timeframe = ?
            order by f.candle_id
            """,
            [*feature_range(connection, series, RECENT_CANDLES), *_key(series)],
        )
        .df()
        .reset_index(drop=True)
    )


def candle_history(connection: duckdb.DuckDBPyConnection, series: Series) -> History:
    """The latest closed candles of a series, on which baselines are fitted."""
    rows = connection.execute(
        "select epoch_ms(open_time) as open_time_ms, open, high, low, close, volume from marts.fct_candles "
        "where exchange = ? and symbol = ? and timeframe = ? and not is_gap order by open_time desc limit ?",
        [*_key(series), HISTORY_CANDLES],
    ).fetchnumpy()
    times = np.asarray(rows.pop("open_time_ms"))[::-1]
    candles = np.column_stack([np.asarray(column)[::-1] for column in rows.values()])
    length = milliseconds(series.timeframe)
    return History(candles, next_candle_labels(candles, times, length), times, length)


def _baseline_of(connection: duckdb.DuckDBPyConnection, series: Series) -> str | None:
    """The baseline that was best on the train rows of the newest result; None before the first one."""
    row = connection.execute(
        "select baseline from raw.results where exchange = ? and symbol = ? and timeframe = ? and is_ranked "
        "order by finished_at desc, case_key limit 1",
        _key(series),
    ).fetchone()
    return str(row[0]) if row else None


def _young_markets(
    workspace: Workspace, connection: duckdb.DuckDBPyConnection, series: Series, history: History
) -> YoungMarkets:
    """What a young market is forecast by: the other markets of its timeframe, those with the most candles."""
    alike = [one for one in workspace.settings.series() if one.timeframe == series.timeframe and one != series]
    others = sorted((candle_history(connection, one) for one in alike), key=lambda one: -len(one.candles))
    return YoungMarkets(others[:MOST_OTHERS], len(history.candles))


def _with_live_scores(connection: duckdb.DuckDBPyConnection, model_id: str, stored: BandScores) -> BandScores:
    """Nonconformity scores of a saved model, with those of its live forecasts: they adapt its prediction interval."""
    live = connection.execute(
        "select s.conformity, epoch_ms(f.target_open_time) as open_ms from raw.latest_scores as s "
        "inner join raw.forecasts as f on f.hash = s.forecast_hash "
        "where f.model_id = ? and s.conformity is not null order by f.target_open_time",
        [model_id],
    ).fetchnumpy()
    return stored.then(np.asarray(live["conformity"]), np.asarray(live["open_ms"]))


@dataclass(frozen=True, eq=False)
class _ChampionInputs:
    """The inputs of a champion's forecast.

    Attributes:
        ensemble: the champion.
        columns: names of its input columns.
        window: (1, lags, columns) raw inputs.
        band_scores: nonconformity scores of validation and live.
        lineage: digest of the definitions of the columns that it was trained on and predicts from; None if unknown.
        novelty: distance of the window from the rows it learnt from over its limit; None where it is not measured.
    """

    ensemble: Ensemble
    columns: list[str]
    window: Inputs
    band_scores: BandScores
    lineage: str | None
    novelty: float | None


def _champion_inputs(
    store: Store, connection: duckdb.DuckDBPyConnection, champion: VerdictRecord, recent: pd.DataFrame
) -> _ChampionInputs | str:
    """What the champion forecasts from, or the reason why it must not forecast."""
    try:
        case, ensemble, band_scores = load_model(store, champion["model_id"])
        lineage = read_card(store, champion["model_id"]).get("lineage", {})
        novelty = load_novelty(store, champion["model_id"])
    except (CandleworksError, OSError, ValueError) as error:
        return f"the champion {champion['model']} cannot be loaded: {error}"
    columns = list(case.input_columns)
    missing = [name for name in columns if name not in recent.columns]
    if missing:
        return f"the champion {champion['model']} needs {', '.join(missing)}, which the features no longer have"
    if changed := changed_columns(lineage, stored_fingerprints(connection), case.lineage_columns):
        return (
            f"the champion {champion['model']} was trained on former definitions of {_few(changed)}: the baseline "
            "serves until it is evaluated again, by the nightly run or by `candleworks export` and `candleworks review`"
        )
    window = recent[columns].tail(case.lags).to_numpy(np.float32)
    if len(window) < case.lags or recent["run_length"].iloc[-1] < case.lags or not np.isfinite(window).all():
        return f"a gap in the candles is in the input window of the champion {champion['model']}"
    scores = _with_live_scores(connection, champion["model_id"], band_scores)
    distance = None if novelty is None else novelty.of_window(window[None])
    return _ChampionInputs(ensemble, columns, window[None], scores, digest(lineage)[:12] if lineage else None, distance)


def _why_novel(champion: VerdictRecord, novelty: float | None) -> str:
    """Why the champion does not serve inputs of this novelty; empty if it may."""
    if novelty is None or novelty <= 1:
        return ""
    return (
        f"the inputs are unlike those that the champion {champion['model']} learnt from: {novelty:.2f} times as far "
        "from them as its limit, which 1 % of ordinary candles exceed"
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more columns" if len(names) > 3 else "")


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
    recent = recent_candles(connection, series)
    if recent.empty:
        return None
    settings = workspace.settings.forecast
    length = milliseconds(series.timeframe)
    known_ms = int(recent["open_time_ms"].iloc[-1]) + length
    target_open_ms = max(now_ms // length * length, known_ms)
    missing = (target_open_ms - known_ms) // length
    exists = connection.execute(
        "select count(*) from raw.forecasts where exchange = ? and symbol = ? and timeframe = ? "
        "and epoch_ms(target_open_time) >= ?",
        [*_key(series), target_open_ms],
    ).fetchone()
    # With several sources the clock may be of one that is slightly behind: by it the last candle is still open.
    if (exists and exists[0]) or now_ms < target_open_ms:
        return None
    if missing > settings.stale_candles:
        return None
    history = replace(candle_history(connection, series), missing=missing)
    best = _baseline_of(connection, series)
    baseline = served_baseline(history, best or DEFAULT_BASELINE)
    reason = _why_baseline(missing) if champion else why_none
    young = _young_markets(workspace, connection, series, history) if is_young(history, best) else None
    inputs, novelty = None, None
    if champion is not None and not reason:
        found = _champion_inputs(workspace.store, connection, champion, recent)
        novelty = None if isinstance(found, str) else found.novelty
        reason = found if isinstance(found, str) else _why_novel(champion, novelty)
        inputs = None if isinstance(found, str) or reason else found
    try:
        if inputs is None:
            candle = forecast_candle(history, baseline, young=young)
        else:
            candle = forecast_candle(history, baseline, inputs.ensemble, inputs.window, inputs.band_scores)
    except CandleworksError as error:
        reason = f"the champion {champion['model'] if champion else ''} was refused: {error}"
        inputs = None
        candle = forecast_candle(history, baseline)
    except ValueError:
        return None  # too little history for a prediction interval
    served = champion if inputs else None
    forecast = {
        **series.key,
        "target_open_time": _iso(target_open_ms),
        "target_close_time": _iso(target_open_ms + length),
        # The newest information in the forecast is the close of the newest candle.
        "information_time": _iso(known_ms),
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


def _why_baseline(missing: int) -> str:
    """Why the champion does not serve with `missing` candles before the one to forecast; empty if it may."""
    if missing:
        return f"{missing} closed candle{'s are' if missing > 1 else ' is'} missing before this one: the data are stale"
    return ""


def _last_time_ms(connection: duckdb.DuckDBPyConnection, chain: str, column: str) -> int:
    """The newest stamp of a chain; 0 of an empty one."""
    row = connection.execute(f"select epoch_ms(max({column})) from raw.{chain}").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


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
                load_model(store, verdict["model_id"])

    threading.Thread(target=load, name="libraries", daemon=True).start()


def forecast_all(workspace: Workspace) -> list[ForecastRecord]:
    """Seal a forecast for every series whose next candle has none yet; returns the new ones.

    The warehouse is locked from reading the existing forecasts until the last seal: of an hourly and a nightly flow at
    the same time, the second finds the forecasts of the first. The exchange's time is requested before each seal, since
    waiting for the warehouse and loading champions can take longer than the grace. At the end the heads are anchored.
    """
    settings, store = workspace.settings, workspace.store
    chain = Chain(store, "forecasts")
    made = []
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, store)
        series = settings.series()
        promoted, verdicts = champions(store, series), read_verdicts(store)
        now_ms = exchange_time_ms(settings)
        # With several sources another one may answer this time, with a slower clock: stamps must never decrease.
        issued_ms = _last_time_ms(connection, "forecasts", "issued_at")
        for one in series:
            why_none = why_no_champion(one, verdicts)
            body = forecast_series(workspace, connection, one, promoted.get(one), now_ms, why_none)
            if body is not None:
                issued_ms = max(issued_ms, exchange_time_ms(settings))
                made.append(chain.append(_issued(body, issued_ms))["body"])
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
    store = workspace.store
    chain = Chain(store, "scores")
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, store)
        now_ms = max(exchange_time_ms(workspace.settings), _last_time_ms(connection, "scores", "scored_at"))
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
