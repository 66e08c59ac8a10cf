"""Rounds: each scored forecast updates the weights of its series' contenders (see `ml.forecasting.weights`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

import duckdb
import numpy as np
import pyarrow as pa

from flows.workspace.workspace import Workspace
from ml.data.targets import Floats
from ml.forecasting.weights import next_weights, round_scores, volatility_weight
from ml.metrics.baselines import BASELINES
from ml.records import WeightRow
from ml.series import Series

YEAR = timedelta(days=365)

_SERIES = "exchange = ? and symbol = ? and timeframe = ?"
# The scores of the forecasts that were in time; a score is new if no stored round has its hash.
_SCORES = f"""
    with latest as (
        select s.*, f.model, f.case_key, f.baseline
        from raw.latest_scores as s
        inner join raw.forecasts as f on f.hash = s.forecast_hash and not f.late
        where s.exchange = ? and s.symbol = ? and s.timeframe = ?
    ),
    known as (select distinct score_hash from raw.weights where {_SERIES})
    select target_open_time, hash, error_pct, baseline_error_pct, rival_errors, model, case_key, baseline
    from latest
    where target_open_time >= (
        select min(target_open_time) from latest anti join known on known.score_hash = latest.hash
    )
    order by target_open_time
"""
_CANDLES = f"""
    select open_time, high / low as ratio, ln(close / lag(close) over (order by open_time)) as log_return
    from marts.fct_candles
    where {_SERIES} and open_time > ?
    qualify not is_gap
    order by open_time
"""


class ScoredForecast(TypedDict):
    """The newest score of a forecast, with what served."""

    target_open_time: datetime
    hash: str
    error_pct: float
    baseline_error_pct: float
    #: JSON: baseline -> error.
    rival_errors: str | None
    model: str
    case_key: str | None
    baseline: str


@dataclass(frozen=True, eq=False)
class _Candles:
    """Open times (n,) as datetime64, high / low (n,) and log returns (n,) of a series, oldest first."""

    times: Any
    ratios: Floats
    returns: Floats

    def weight(self, time: datetime) -> float:
        """Volatility weight of the candle that opened at `time`, among those of the year up to it; 0 if missing."""
        start = np.searchsorted(self.times, np.datetime64(time - YEAR), side="right")
        end = np.searchsorted(self.times, np.datetime64(time), side="right")
        if end == 0 or self.times[end - 1] != np.datetime64(time):
            return 0.0
        return volatility_weight(self.ratios[start:end], self.returns[start:end])


def weigh_rounds(workspace: Workspace) -> int:
    """Bring the weights of all series up to their scores; returns the number of rounds that were weighed.

    A new or revised score updates its round and all later rounds of its series; earlier ones stay.
    """
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        return sum(_weigh_series(connection, series) for series in workspace.settings.series())


def _weigh_series(connection: duckdb.DuckDBPyConnection, series: Series) -> int:
    key = [series.exchange, series.symbol, series.timeframe]
    rounds: list[ScoredForecast] = connection.execute(_SCORES, [*key, *key]).to_arrow_table().to_pylist()
    if not rounds:
        return 0
    first = rounds[0]["target_open_time"]
    weights = dict(
        connection.execute(
            f"select contender, weight from raw.weights where {_SERIES} and round_time = "
            f"(select max(round_time) from raw.weights where {_SERIES} and round_time < ?)",
            [*key, *key, first],
        ).fetchall()
    )
    frame = connection.execute(_CANDLES, [*key, first - YEAR]).df()
    candles = _Candles(*(frame[name].to_numpy() for name in frame.columns))
    rows: list[WeightRow] = []
    for one in rounds:
        scores, g = round_scores(contenders(one)), candles.weight(one["target_open_time"])
        weights = next_weights(weights, scores, g)
        rows += [
            {
                **series.key,
                "round_time": one["target_open_time"],
                "contender": name,
                "round_score": scores.get(name, 0.0),
                "volatility_weight": g,
                "weight": weight,
                "score_hash": one["hash"],
            }
            for name, weight in weights.items()
        ]
    connection.execute(f"delete from raw.weights where {_SERIES} and round_time >= ?", [*key, first])
    connection.register("batch", pa.Table.from_pylist(rows))
    connection.execute("insert into raw.weights by name select * from batch")
    connection.unregister("batch")
    return len(rounds)


def contenders(score: ScoredForecast) -> dict[str, float]:
    """Errors of a round by contender: baselines by their names, the model that served by its name and case key."""
    errors: dict[str, float] = json.loads(score["rival_errors"] or "{}") or {
        score["baseline"]: score["baseline_error_pct"]
    }
    if score["case_key"]:
        errors = {name: error for name, error in errors.items() if name in BASELINES}
        errors[f"{score['model']} {score['case_key']}"] = score["error_pct"]
    return errors
