"""The other lists: leaderboard, champions, verdicts, scores, trading and markets, each a table of the snapshot."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.api.lists import (
    SERIES,
    Condition,
    Listing,
    ListQuery,
    Since,
    in_utc,
    item_model,
    page_of,
    read_page,
    series_and_version,
)
from app.api.snapshots import answer, require_table
from app.schema import PARTS

router = APIRouter(prefix="/v1", tags=["snapshot"])

Market = item_model("Market", "data_health")
LeaderboardRow = item_model("LeaderboardRow", "leaderboard", {"live_skill": float})
Champion = item_model("Champion", "champions")
Verdict = item_model("Verdict", "verdicts")
ScoreRow = item_model("ScoreRow", "scores")
Signal = item_model("Signal", "trading_signals")
Trade = item_model("Trade", "trading_trades")
EquityPoint = item_model("EquityPoint", "trading_equity")

MARKETS = Listing("markets", "data_health", SERIES)
LEADERBOARD = Listing(
    "leaderboard",
    "leaderboard",
    (*SERIES, "rank", "case_key"),
    source="""
        select leaderboard.*, champions.live_skill
        from leaderboard left join champions using (exchange, symbol, timeframe, case_key)
    """,
)
CHAMPIONS = Listing("champions", "champions", SERIES)
VERDICTS = Listing("verdicts", "verdicts", ("sequence", *SERIES), newest_first=True)
SCORES = Listing("scores", "scores", ("sequence", *SERIES), newest_first=True)
SIGNALS = Listing("signals", "trading_signals", ("open_time", *SERIES, "signal"), newest_first=True)
TRADES = Listing("trades", "trading_trades", ("entry_time", *SERIES, "signal", "part", "number"), newest_first=True)
EQUITY = Listing("equity", "trading_equity", (*SERIES, "signal", "part", "time"))

#: Topics of the stream, each the items of a list.
Topic = Literal["forecast", "score", "verdict", "signal", "trade"]
Part = Literal["validation", "holdout", "paper"]
assert Part.__args__ == PARTS  # type: ignore[attr-defined]


class SinceQuery(ListQuery):
    """With a time."""

    since: Since


class SignalQuery(SinceQuery):
    """Of a signal."""

    signal: str | None = Field(None, description="Name of the signal.")


class PartQuery(SignalQuery):
    """Of a part of its history."""

    part: Part | None = Field(None, description="The rows that chose the rule, those that chose nothing, or live.")


def _page(request: Request, listing: Listing, query: ListQuery, time: str = "") -> Response:
    """A page; `time` is the column of `since`."""
    snapshot = series_and_version(request)
    conditions = []
    if isinstance(query, SinceQuery) and query.since is not None:
        conditions.append(Condition(f"{time} >= ?", (in_utc(query.since),)))
    for name in ("signal", "part"):
        if (value := getattr(query, name, None)) is not None:
            conditions.append(Condition(f"{name} = ?", (value,)))

    def content() -> bytes:
        if listing is LEADERBOARD:
            require_table(snapshot, "champions")
        return read_page(snapshot, listing, query, conditions)

    return answer(request, snapshot, content)


@router.get("/markets", response_model=page_of(Market))
def list_markets(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """The series with the age and completeness of their candles at the publication."""
    return _page(request, MARKETS, query)


@router.get("/leaderboard", response_model=page_of(LeaderboardRow))
def list_leaderboard(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """The cases of each series, best first: skill with its interval, and whether that could be luck."""
    return _page(request, LEADERBOARD, query)


@router.get("/champions", response_model=page_of(Champion))
def list_champions(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """The model that serves each series, its figures at promotion and since."""
    return _page(request, CHAMPIONS, query)


@router.get("/verdicts", response_model=page_of(Verdict))
def list_verdicts(request: Request, query: Annotated[SinceQuery, Query()]) -> Response:
    """Sealed decisions about challengers and champions, the newest first."""
    return _page(request, VERDICTS, query, "decided_at")


@router.get("/scores", response_model=page_of(ScoreRow))
def list_scores(request: Request, query: Annotated[SinceQuery, Query()]) -> Response:
    """Sealed scores of forecasts, the newest first; every revision."""
    return _page(request, SCORES, query, "target_open_time")


@router.get("/signals", response_model=page_of(Signal))
def list_signals(request: Request, query: Annotated[SignalQuery, Query()]) -> Response:
    """Signals of the trading rules, the newest first."""
    return _page(request, SIGNALS, query, "open_time")


@router.get("/trades", response_model=page_of(Trade))
def list_trades(request: Request, query: Annotated[PartQuery, Query()]) -> Response:
    """Trades of the rules on each part of their history, the newest first."""
    return _page(request, TRADES, query, "entry_time")


@router.get("/equity", response_model=page_of(EquityPoint))
def list_equity(request: Request, query: Annotated[PartQuery, Query()]) -> Response:
    """Equity curves of the rules, oldest point first."""
    return _page(request, EQUITY, query, "time")
