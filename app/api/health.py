"""Health: whether the process serves, and whether what it serves is complete and up to date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.problems import ApiError
from app.api.snapshots import headers_of, iso
from app.provenance import OLD_CANDLES, parse_time
from app.versions import Snapshot
from ml.errors import CandleworksError
from ml.texts import one_line

router = APIRouter(prefix="/v1", tags=["health"])


class Alive(BaseModel):
    """The process serves."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One condition of readiness."""

    name: str
    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether the answers are complete and up to date."""

    status: Literal["ready", "not ready"]
    snapshot_version: str | None = None
    published_at: str | None = None
    exchange_time: str | None = Field(None, description="The exchange's clock at the publication.")
    age_seconds: float | None = Field(None, description="Since the publication.")
    stale: list[str] = Field([], description="Series whose last closed candle is two candles old or older by now.")
    checks: list[Check]


@router.get("/health", response_model=Alive)
def health() -> Alive:
    """Whether the process serves; says nothing about the data."""
    return Alive()


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
def ready(request: Request) -> Response:
    """Whether the data is complete and up to date; 503 if not, with the reasons."""
    now: datetime = request.app.state.now()
    try:
        snapshot = request.app.state.snapshots.current()
        found, headers = _of_snapshot(snapshot, now), headers_of(snapshot)
    except (ApiError, CandleworksError) as error:
        checks = [Check(name="snapshot", ok=False, detail=one_line(error))]
        found, headers = Readiness(status="not ready", checks=checks), {}
    status = 200 if found.status == "ready" else 503
    return Response(found.model_dump_json(), status, {**headers, "Cache-Control": "no-store"}, "application/json")


def _of_snapshot(snapshot: Snapshot, now: datetime) -> Readiness:
    published_at, exchange_time = parse_time(snapshot.published_at), parse_time(snapshot.exchange_time)
    age = now - published_at if published_at else timedelta()
    stale = [] if "data_health" in snapshot.missing else _stale(snapshot, exchange_time, age)
    missing = ", ".join(snapshot.missing)
    checks = [
        Check(name="snapshot", ok=True, detail=f"Version {snapshot.version} is published."),
        Check(
            name="tables",
            ok=not snapshot.missing,
            detail=f"Missing or unreadable: {missing}. Run `candleworks publish`." if missing else "All can be read.",
        ),
        Check(
            name="times",
            ok=published_at is not None and exchange_time is not None,
            detail="The snapshot says when it was published, and the exchange's time then."
            if published_at and exchange_time
            else "The pointer lacks a time, so the age of the candles is unknown. Run `candleworks publish`.",
        ),
        Check(
            name="candles",
            ok=not stale,
            detail=f"Stale: {', '.join(stale)}. `candleworks status` shows the last load." if stale else "Up to date.",
        ),
    ]
    return Readiness(
        status="ready" if all(check.ok for check in checks) else "not ready",
        snapshot_version=snapshot.version,
        published_at=iso(_naive(published_at)),
        exchange_time=iso(_naive(exchange_time)),
        age_seconds=age.total_seconds() if published_at else None,
        stale=stale,
        checks=checks,
    )


def _stale(snapshot: Snapshot, exchange_time: datetime | None, age: timedelta) -> list[str]:
    """Series that were stale at the publication, or are by now: by the time that has passed on the exchange's clock."""
    by_now = "false"
    values: list[object] = []
    if exchange_time is not None:
        by_now = "epoch_ms(?::timestamp - last_close_time) >= ? * timeframe_ms"
        values = [_naive(exchange_time + age), OLD_CANDLES]
    rows = snapshot.rows(
        f"""
        select exchange || ' ' || symbol || ' ' || timeframe as series
        from data_health left join markets using (exchange, symbol, timeframe)
        where freshness is distinct from 'fresh' or {by_now}
        order by exchange, symbol, timeframe_ms, timeframe
        """,
        *values,
    )
    return [row["series"] for row in rows]


def _naive(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)
