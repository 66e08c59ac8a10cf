"""What forecasts are made from: the candles of a series, those of other markets, and the inputs of a champion."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from flows.warehouse.feature_rows import SERIES_STEP, feature_range
from flows.warehouse.fingerprints import stored_fingerprints
from flows.workspace.workspace import Workspace
from ml.canonical import digest
from ml.data.datasets import CANDLE_COLUMNS, changed_columns
from ml.data.targets import next_candle_labels
from ml.errors import CandleworksError, PredictionError
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.history import History
from ml.forecasting.model_folder import ModelSeal, seal_of
from ml.forecasting.model_store import load_model, load_novelty, read_card
from ml.forecasting.young_markets import YoungMarkets
from ml.metrics.conformal import BandScores
from ml.models.base import Inputs
from ml.records import VerdictRecord
from ml.search.cases import TestCase
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds

#: Other markets from which a young one is forecast, at most.
MOST_OTHERS = 20
_UNTIL = (
    "the baseline serves until it is evaluated again, by the nightly run or by `candleworks export` and "
    "`candleworks review`"
)
#: Closed candles that baselines are fitted on at most.
HISTORY_CANDLES = 50_000


def _key(series: Series) -> list[str]:
    return [series.exchange, series.symbol, series.timeframe]


def newest_open_ms(connection: duckdb.DuckDBPyConnection, series: Series) -> int | None:
    """Open time of the newest closed candle with features; None before the first."""
    newest, last = feature_range(connection, series, 1)
    return newest % SERIES_STEP if newest <= last else None


def feature_names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The columns of the feature mart."""
    described = connection.execute("select * from marts.fct_features limit 0").description or []
    return {column[0] for column in described}


def latest_rows(
    connection: duckdb.DuckDBPyConnection, series: Series, columns: list[str], rows: int
) -> tuple[Inputs, npt.NDArray[np.int64]]:
    """A window (at most `rows`, f) of columns of candles or features up to the newest closed candle, oldest first.

    Returns:
        The window, and the run lengths of its rows: consecutive candles up to and with each.
    """
    named = ", ".join(f'{"c" if name in CANDLE_COLUMNS else "f"}."{name}"::float as "{name}"' for name in columns)
    found = connection.execute(
        f"""
        select f.run_length, {named}
        from marts.fct_features as f
        inner join marts.fct_candles as c using (exchange, symbol, timeframe, open_time)
        where f.candle_id between ? and ? and exchange = ? and symbol = ? and timeframe = ?
        order by f.candle_id
        """,
        [*feature_range(connection, series, rows), *_key(series)],
    ).fetchnumpy()
    run_lengths = np.asarray(found.pop("run_length"), np.int64)
    window = [np.ma.filled(np.ma.asarray(column, np.float32), np.nan) for column in found.values()]
    return np.stack(window, axis=1), run_lengths


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


def best_baseline(connection: duckdb.DuckDBPyConnection, series: Series) -> str | None:
    """The baseline that was best on the train rows of the newest result; None before the first one."""
    row = connection.execute(
        "select baseline from raw.results where exchange = ? and symbol = ? and timeframe = ? and is_ranked "
        "order by arrival desc limit 1",
        _key(series),
    ).fetchone()
    return str(row[0]) if row else None


def young_markets(
    workspace: Workspace, connection: duckdb.DuckDBPyConnection, series: Series, history: History
) -> YoungMarkets:
    """What a young market is forecast by: the other markets of its timeframe, those with the most candles."""
    counts = dict(
        connection.execute(
            "select symbol, count(*) from marts.fct_candles "
            "where exchange = ? and timeframe = ? and not is_gap group by all",
            [series.exchange, series.timeframe],
        ).fetchall()
    )
    alike = [one for one in workspace.settings.series() if one.timeframe == series.timeframe and one != series]
    longest = sorted(alike, key=lambda one: -counts.get(one.symbol, 0))[:MOST_OTHERS]
    return YoungMarkets([candle_history(connection, one) for one in longest], len(history.candles))


def with_live_scores(connection: duckdb.DuckDBPyConnection, model_id: str, stored: BandScores) -> BandScores:
    """Nonconformity scores of a saved model, with those of its live forecasts: they adapt its prediction interval."""
    live = connection.execute(
        "select s.conformity, epoch_ms(f.target_open_time) as open_ms from raw.latest_scores as s "
        "inner join raw.forecasts as f on f.hash = s.forecast_hash "
        "where f.model_id = ? and s.conformity is not null order by f.target_open_time",
        [model_id],
    ).fetchnumpy()
    return stored.then(np.asarray(live["conformity"]), np.asarray(live["open_ms"]))


@dataclass(frozen=True, eq=False)
class ChampionInputs:
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


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A saved model whose columns are computed as when it was trained; lineage: column -> fingerprint."""

    case: TestCase
    ensemble: Ensemble
    band_scores: BandScores
    lineage: dict[str, str]


def served_model(
    store: Store, connection: duckdb.DuckDBPyConnection, model_id: str, called: str, until: str, seal: ModelSeal
) -> ServedModel | str:
    """A saved model, or the reason why it must not forecast.

    Args:
        store: with the model.
        connection: to the features.
        model_id: of the model.
        called: its name in the reason.
        until: the consequence if its columns have changed, for the reason.
        seal: what the sealed record that lets it serve says of it.
    """
    try:
        case, ensemble, band_scores = load_model(store, model_id, seal)
        lineage = read_card(store, model_id, seal).get("lineage", {})
    except (CandleworksError, OSError, ValueError) as error:
        return f"the {called} cannot be loaded: {error}"
    known = {*feature_names(connection), *CANDLE_COLUMNS}
    if missing := [name for name in case.input_columns if name not in known]:
        return f"the {called} needs {', '.join(missing)}, which the features no longer have"
    if changed := changed_columns(lineage, stored_fingerprints(connection), case.lineage_columns):
        return f"the {called} was trained on former definitions of {_few(changed)}: {until}"
    return ServedModel(case, ensemble, band_scores, lineage)


def champion_inputs(
    store: Store, connection: duckdb.DuckDBPyConnection, series: Series, champion: VerdictRecord
) -> ChampionInputs | str:
    """What the champion of a series forecasts from, or the reason why it must not forecast."""
    seal = seal_of(champion)
    loaded = served_model(store, connection, champion["model_id"], f"champion {champion['model']}", _UNTIL, seal)
    if isinstance(loaded, str):
        return loaded
    case, ensemble, band_scores = loaded.case, loaded.ensemble, loaded.band_scores
    try:
        novelty = load_novelty(store, champion["model_id"], seal)
    except (CandleworksError, OSError, ValueError) as error:
        return f"the champion {champion['model']} cannot be loaded: {error}"
    columns = list(case.input_columns)
    window, run_lengths = latest_rows(connection, series, columns, case.lags)
    if len(window) < case.lags or run_lengths[-1] < case.lags or not np.isfinite(window).all():
        return f"a gap in the candles is in the input window of the champion {champion['model']}"
    scores = with_live_scores(connection, champion["model_id"], band_scores)
    try:
        distance = None if novelty is None else novelty.of_window(window[None])
    except PredictionError as error:
        return f"the champion {champion['model']} was refused: {error}"
    lineage = digest(loaded.lineage)[:12] if loaded.lineage else None
    return ChampionInputs(ensemble, columns, window[None], scores, lineage, distance)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more columns" if len(names) > 3 else "")
