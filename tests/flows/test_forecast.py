"""Forecasts and scores over a real warehouse: once each, rightly timed, the baseline where no champion may speak."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from flows.forecast import forecast_all, score_all
from flows.ingest import ingest_market
from flows.installation import Installation
from flows.marts import transform
from flows.replay import Fault, RecordedCandles, ReplayClock, ReplayServer
from ml.chain import Chain
from tests.flows.conftest import hours, installation_at

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside Great Expectations


@dataclass(frozen=True)
class Live:
    """A recorded exchange and an installation that follows it."""

    server: ReplayServer
    installation: Installation

    def follow(self, now_ms: int) -> None:
        """Put the clock at a time and bring candles and features up to it."""
        self.server.clock.set(now_ms)
        ingest_market(self.installation, "BTC/USDT", now_ms)
        transform(self.installation, "candles")

    def query(self, sql: str) -> pd.DataFrame:
        with self.installation.warehouse.connect() as connection:
            return connection.execute(sql).df()


@pytest.fixture(scope="module")
def live(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """500 candles loaded, one minute into the next; the tests live through the hours in their order."""
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(500) + 60_000)) as server:
        markets = {"symbols": ["BTC/USDT"], "timeframes": ["1h"]}
        home = tmp_path_factory.mktemp("live")
        live = Live(server, installation_at(home, server.url, markets=markets))
        live.follow(hours(500) + 60_000)
        yield live


def test_the_next_candle_is_forecast_once_and_by_the_baseline_as_long_as_nothing_is_better(live: Live) -> None:
    (made,) = forecast_all(live.installation)
    assert pd.Timestamp(made["target_open_time"]).value // 10**6 == hours(500)
    assert made["information_time"] <= made["target_open_time"] <= made["issued_at"]
    assert (made["model"], made["case_key"], made["late"]) == ("baseline", None, False)
    assert made["reason"] == "no model beats the baseline on this series yet"
    assert forecast_all(live.installation) == []


def test_nothing_is_scored_before_the_candle_has_closed_and_then_exactly_once(live: Live) -> None:
    assert score_all(live.installation) == []
    live.follow(hours(501) + 60_000)
    (score,) = score_all(live.installation)
    candle = live.query(f"select * from raw.candles where epoch_ms(open_time) = {hours(500)}").iloc[0]
    assert (score["actual_high"], score["actual_low"]) == (candle["high"], candle["low"])
    assert score_all(live.installation) == []


def test_two_flows_at_the_same_time_seal_one_forecast(live: Live) -> None:
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(len(forecast_all(live.installation)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1]
    assert Chain(live.installation.store, "forecasts").verify() == 2


def test_a_forecast_after_the_grace_is_marked_late(live: Live) -> None:
    live.follow(hours(502) + 7 * 60_000)  # the grace of an hour is 6 minutes
    (made,) = forecast_all(live.installation)
    assert made["late"]


def test_a_missing_candle_leaves_its_forecast_unscored_and_the_gap_visible(live: Live) -> None:
    score_all(live.installation)
    live.server.faults.add(Fault(kind="gap", start_ms=hours(502), end_ms=hours(503)))
    live.follow(hours(504) + 60_000)
    assert score_all(live.installation) == []  # candle 502 was forecast and never came
    gap = live.query(f"select is_gap, close from marts.fct_candles where epoch_ms(open_time) = {hours(502)}").iloc[0]
    assert bool(gap["is_gap"])
    assert pd.isna(gap["close"])
