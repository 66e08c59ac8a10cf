"""Checks after a rehearsal, on the sealed records and the candles of the recorded exchange."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from flows.notices.send import NoticeRecord
from flows.replay import CandleSource
from flows.simulation.plan import Plan
from ml.errors import StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS
from ml.records import ForecastRecord, ScoreRecord
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds

#: A forecast's key: its series and the open time of its candle in milliseconds.
Key = tuple[Series, int]


@dataclass(frozen=True)
class Check:
    """A check, whether it holds, and the figures."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Candles:
    """The candles that the exchange showed at a given time, with the faults of the plan."""

    source: CandleSource
    plan: Plan
    base_timeframe: str

    def complete(self, series: Series, open_ms: int, now_ms: int) -> bool:
        """Whether all base candles of a candle had closed and were shown at the exchange's time `now_ms`."""
        length, base = milliseconds(series.timeframe), milliseconds(self.base_timeframe)
        if open_ms + length > now_ms:
            return False
        recorded = self.source.candles(series.symbol, self.base_timeframe).open_time_ms
        wanted = np.arange(open_ms, open_ms + length, base)
        return bool(np.isin(wanted, recorded).all()) and not any(
            self._hidden(series.symbol, int(time_ms), now_ms) for time_ms in wanted
        )

    def _hidden(self, symbol: str, open_ms: int, now_ms: int) -> bool:
        return any(
            fault.kind == "gap"
            and fault.fits("klines", symbol, now_ms)
            and (fault.start_ms is None or fault.start_ms <= open_ms)
            and (fault.end_ms is None or open_ms < fault.end_ms)
            for fault in self.plan.faults
        )


def check_rehearsal(
    store: Store, series: Sequence[Series], span_ms: tuple[int, int], now_ms: int, candles: Candles
) -> list[Check]:
    """Run all checks on the sealed records of a rehearsal.

    Args:
        store: that of the rehearsal's home.
        series: the series to forecast.
        span_ms: open times of the first and the last candle that need a forecast.
        now_ms: the exchange's time at the end.
        candles: the candles that the exchange showed.
    """
    checks = [_verified(store, folder) for folder in CHAINS]
    try:
        forecasts = {record["hash"]: record["body"] for record in Chain(store, "forecasts").records()}
        scores = [record["body"] for record in Chain(store, "scores").records()]
    except StoreError:
        return checks  # these name the first bad record
    span = [body for body in forecasts.values() if span_ms[0] <= _open_ms(body) <= span_ms[1]]
    wanted = [
        (one, open_ms) for one in series for open_ms in range(span_ms[0], span_ms[1] + 1, milliseconds(one.timeframe))
    ]
    return [
        *checks,
        _one_each(span, wanted),
        _in_time(span),
        _all_scored(forecasts, scores, now_ms, candles),
        _scored_once(scores),
    ]


def check_notices(records: Sequence[NoticeRecord], lines: Sequence[str]) -> Check:
    """Whether the target of a rehearsal has each message of the outbox exactly once.

    Args:
        records: all messages of the outbox.
        lines: of the target's file.
    """
    counts = Counter(json.loads(line)["id"] for line in lines)
    wrong = [record["event"] for record in records if counts.pop(record["event"], 0) != 1] + list(counts)
    detail = f"{len(lines):,} messages" if not wrong else f"not once: {', '.join(wrong[:3])}"
    return Check("each notice once", not wrong, detail)


def _verified(store: Store, folder: str) -> Check:
    try:
        return Check(f"{folder} verify", True, f"{Chain(store, folder).verify():,} sealed records")
    except StoreError as error:
        return Check(f"{folder} verify", False, str(error))


def _open_ms(body: ForecastRecord) -> int:
    return int(datetime.fromisoformat(body["target_open_time"]).timestamp() * 1000)


def _key(body: ForecastRecord) -> Key:
    series = Series(exchange=body["exchange"], symbol=body["symbol"], timeframe=body["timeframe"])
    return series, _open_ms(body)


def _first(keys: Iterable[Key]) -> str:
    """The first few keys, for a message."""
    shown = [f"{series} {np.datetime64(open_ms, 'ms').astype('datetime64[m]')}" for series, open_ms in keys]
    return ", ".join(shown[:3]) + (" ..." if len(shown) > 3 else "")


def _one_each(bodies: Iterable[ForecastRecord], wanted: Sequence[Key]) -> Check:
    """One forecast per candle, also after a gap."""
    found = Counter(_key(body) for body in bodies)
    missing = [key for key in wanted if key not in found]
    wrong = [key for key, count in found.items() if count > 1 or key not in set(wanted)]
    detail = f"{len(wanted):,} candles, {sum(found.values()):,} forecasts"
    if missing or wrong:
        detail += f"; missing: {_first(missing) or 'none'}; twice or not requested: {_first(wrong) or 'none'}"
    return Check("one forecast per candle", not missing and not wrong, detail)


def _in_time(bodies: Iterable[ForecastRecord]) -> Check:
    late = [_key(body) for body in bodies if body["late"]]
    return Check("none late", not late, f"{len(late)} late: {_first(late)}" if late else "0 late")


def _all_scored(
    forecasts: Mapping[str, ForecastRecord], scores: Iterable[ScoreRecord], now_ms: int, candles: Candles
) -> Check:
    """Every forecast has a score, except those whose candle has not closed or is a gap."""
    scored = {body["forecast_hash"] for body in scores}
    unscored = [_key(body) for record_hash, body in forecasts.items() if record_hash not in scored]
    is_open = [key for key in unscored if key[1] + milliseconds(key[0].timeframe) > now_ms]
    gaps = [key for key in unscored if key not in is_open and not candles.complete(*key, now_ms)]
    due = [key for key in unscored if key not in is_open and key not in gaps]
    detail = f"{len(scored):,} scored, {len(is_open)} candles still open, {len(gaps)} gaps"
    if due:
        detail += f"; {len(due)} due: {_first(due)}"
    return Check("all scored", not due, detail)


def _scored_once(scores: Iterable[ScoreRecord]) -> Check:
    """A forecast has one score per revision of its candle."""
    counts = Counter((body["forecast_hash"], body.get("revision", 0)) for body in scores)
    twice = sum(count > 1 for count in counts.values())
    restated = sum(revision > 0 for _, revision in counts)
    return Check("none scored twice", twice == 0, f"{twice} twice, {restated} restated after a revised candle")
