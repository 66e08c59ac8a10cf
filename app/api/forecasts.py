"""Forecasts: the list, and one record with the proof that it was sealed before its candle."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from app.api.lists import (
    JSON,
    Condition,
    Listing,
    ListQuery,
    Page,
    Row,
    SeriesQuery,
    Since,
    in_utc,
    joined,
    of_series,
    read_page,
    series_and_version,
)
from app.api.problems import ApiError
from app.api.snapshots import answer, require_table
from app.versions import Snapshot
from ml.errors import StoreError
from ml.forecasting.chain import GENESIS, Chain
from ml.records import SealedRecord

router = APIRouter(prefix="/v1", tags=["forecasts"])
#: Sequences of a DuckDB BIGINT.
_MOST = 2**63 - 1


class Interval(BaseModel):
    """A prediction interval: low and high of the candle are inside together with probability `level`."""

    level: float | None
    low: float | None
    high: float | None


class Prices(BaseModel):
    """High, low and close in quote units, of the forecaster `name`."""

    name: str | None
    high: float | None
    low: float | None
    close: float | None


class ServingModel(BaseModel):
    """The model behind a forecast; without an id the baseline serves."""

    id: str | None
    name: str | None
    case_key: str | None


class Score(BaseModel):
    """The newest score, in percent of the last close; `skill` is 1 - error / error of the baseline."""

    open: float | None
    high: float | None
    low: float | None
    close: float | None
    error_pct: float | None
    baseline_error_pct: float | None
    skill: float | None
    covered: bool | None
    direction_hit: bool | None
    scored_at: datetime | None


class Forecast(BaseModel):
    """A sealed forecast; prices in quote units, `open` is the last known close."""

    sequence: int
    hash: str | None
    exchange: str
    symbol: str
    timeframe: str
    target_open_time: datetime
    target_close_time: datetime | None
    information_time: datetime | None
    issued_at: datetime | None
    late: bool | None
    current: bool | None
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    interval: Interval = Field(alias="band")
    intervals: list[Interval] = Field(description="The intervals of all levels.")
    baseline: Prices
    model: ServingModel
    reason: str | None
    novelty: float | None
    score: Score | None = Field(description="Null until the candle has closed.")


class Head(BaseModel):
    """The last record of the chain in this version."""

    sequence: int
    hash: str


class Proof(BaseModel):
    """`hash` is the SHA-256 of the canonical JSON of {body, previous, sequence} and the fields of `origin`."""

    previous: str = Field(description="The hash of the record before it.")
    hash: str
    origin: dict[str, str | bool] = Field(
        description="Chain, public key, wall-clock time, and whether the exchange was a recorded one; empty in records "
        "from before signatures."
    )
    signature: str | None = Field(description='Of "candleworks record " and the hash, Ed25519, base64.')
    head: Head
    body: Any = Field(description="The record as it was sealed.")


class ProvenForecast(Forecast):
    """A forecast with its proof."""

    proof: Proof


def forecast_of(row: Row) -> Row:
    """The item of a row of the table forecasts."""
    levels: dict[str, list[float]] = orjson.loads(row["bands"]) if row["bands"] else {}
    straight = (
        "sequence hash exchange symbol timeframe target_open_time target_close_time information_time issued_at late "
        "open high low close reason novelty"
    )
    return {
        **{name: row[name] for name in straight.split()},
        "current": row["is_current"],
        "band": {"level": row["band_level"], "low": row["band_low"], "high": row["band_high"]},
        "intervals": [
            {"level": float(level), "low": low, "high": high}
            for level, (low, high) in sorted(levels.items(), key=lambda one: float(one[0]))
        ],
        "baseline": {"name": row["baseline"], **{name: row[f"baseline_{name}"] for name in ("high", "low", "close")}},
        "model": {"id": row["model_id"], "name": row["model"], "case_key": row["case_key"]},
        "score": _score_of(row) if row["scored_at"] is not None else None,
    }


def _score_of(row: Row) -> Row:
    error, baseline = row["error_pct"], row["baseline_error_pct"]
    return {
        **{name: row[f"actual_{name}"] for name in ("open", "high", "low", "close")},
        **{name: row[name] for name in ("error_pct", "baseline_error_pct", "covered", "direction_hit", "scored_at")},
        "skill": 1 - error / baseline if error is not None and baseline else None,
    }


class ForecastQuery(ListQuery):
    """Parameters of the list."""

    current: bool | None = Field(None, description="True: only the newest of each series.")
    late: bool | None = Field(None, description="Whether it was sealed after the grace period.")
    since: Since


FORECASTS = Listing(
    "forecasts", "forecasts", ("sequence", "exchange", "symbol", "timeframe"), newest_first=True, to_item=forecast_of
)


@router.get("/forecasts", response_model=Page[Forecast])
def list_forecasts(request: Request, query: Annotated[ForecastQuery, Query()]) -> Response:
    """Forecasts, the newest first, with their latest scores."""
    snapshot = series_and_version(request)
    conditions = []
    if query.current is not None:
        conditions.append(Condition("is_current = ?", (query.current,)))
    if query.late is not None:
        conditions.append(Condition("late = ?", (query.late,)))
    if query.since is not None:
        conditions.append(Condition("target_open_time >= ?", (in_utc(query.since),)))
    return answer(request, snapshot, lambda: read_page(snapshot, FORECASTS, query, conditions))


@router.get("/forecasts/{sequence}", response_model=ProvenForecast)
def one_forecast(
    request: Request,
    sequence: Annotated[int, Path(ge=1, le=_MOST, description="Place in the chain.")],
    query: Annotated[SeriesQuery, Query()],
) -> Response:
    """A forecast, with the record that was sealed, the hash before it and the head of the chain."""
    snapshot = series_and_version(request)
    return answer(request, snapshot, lambda: _proven(request, snapshot, sequence, query))


def _proven(request: Request, snapshot: Snapshot, sequence: int, query: SeriesQuery) -> bytes:
    require_table(snapshot, "forecasts")
    where, values = joined([*of_series(snapshot, query), Condition("sequence = ?", (sequence,))])
    rows = snapshot.rows(f"select * from forecasts where {where}", *values)
    if not rows:
        last = snapshot.value("select max(sequence) from forecasts")
        detail = f"No such forecast has the number {sequence}; the newest is {last}. /v1/forecasts lists them."
        raise ApiError(404, "unknown-forecast", detail)
    record = _sealed(Chain(request.app.state.snapshots.store, "forecasts"), sequence)
    row = next((one for one in rows if one["hash"] == record["hash"]), None)
    if row is None:
        raise StoreError(
            f"Forecast {sequence} of the snapshot has another hash than its sealed record. `candleworks verify` shows "
            "which one is wrong."
        )
    (head,) = snapshot.rows("select sequence, hash from forecasts order by sequence desc limit 1")
    proof = {
        **{name: record[name] for name in ("previous", "hash", "body")},
        "head": head,
        "origin": {name: record[name] for name in ("chain", "key", "wall_time", "replayed") if name in record},
        "signature": record.get("signature"),
    }
    return orjson.dumps({**forecast_of(row), "proof": proof}, option=JSON)


def _sealed(chain: Chain, sequence: int) -> SealedRecord:
    """A record of the chain, checked against its seal and its predecessor."""
    previous = chain.record(sequence - 1)["hash"] if sequence > 1 else GENESIS
    return chain.record(sequence, previous)
