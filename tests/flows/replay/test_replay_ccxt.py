"""What the real ccxt client sees of the recorded exchange when nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

from flows.replay import RecordedCandles, ReplayClock, ReplayServer, SimulatedCandles
from ml.timeframes import HOUR_MS

# As in conftest.py: 3,000 simulated hours, the clock half an hour into row 2,500.
START_MS = 1_600_041_600_000
NOW_ROW = 2_500
NOW_MS = START_MS + NOW_ROW * HOUR_MS + HOUR_MS // 2


def truth(source: SimulatedCandles, first: int, last: int) -> list[list[float]]:
    candles = source.candles("BTC/USDT", "1h")
    return [[candles.open_time_ms[row], *candles.values[row]] for row in range(first, last)]


def test_markets_load_from_exchange_info(client: Any) -> None:
    markets = client.load_markets()
    assert sorted(markets) == ["BTC/USDT", "ETH/USDT"]
    assert markets["BTC/USDT"]["spot"] and markets["BTC/USDT"]["active"]
    assert markets["BTC/USDT"]["precision"] == {
        "amount": 1e-12,
        "price": 1e-12,
        "base": 1e-8,
        "quote": 1e-8,
    }


def test_its_time_is_the_clocks(client: Any) -> None:
    assert client.fetch_time() == NOW_MS


def test_pages_of_a_thousand_give_every_closed_candle_once_and_exactly(client: Any, source: SimulatedCandles) -> None:
    pages = []
    since = START_MS
    while True:
        page = client.fetch_ohlcv("BTC/USDT", "1h", since, 1_000)
        pages.append(len(page))
        closed = [row for row in page if row[0] + HOUR_MS <= NOW_MS]
        assert closed == truth(source, (since - START_MS) // HOUR_MS, (since - START_MS) // HOUR_MS + len(closed))
        if len(page) < 1_000:
            break
        since = page[-1][0] + HOUR_MS
    # 2,500 closed candles and the unfinished one.
    assert pages == [1_000, 1_000, 501]


def test_without_a_start_the_last_candles_come_in_ascending_order(client: Any, source: SimulatedCandles) -> None:
    page = client.fetch_ohlcv("BTC/USDT", "1h", None, 5)
    assert [row[0] for row in page] == [START_MS + row * HOUR_MS for row in range(NOW_ROW - 4, NOW_ROW + 1)]
    assert page[:4] == truth(source, NOW_ROW - 4, NOW_ROW)
    # The default of ccxt and of the exchange.
    assert len(client.fetch_ohlcv("BTC/USDT", "1h")) == 500


def test_an_end_includes_the_candle_that_opens_at_it(client: Any) -> None:
    until = START_MS + 10 * HOUR_MS
    page = client.fetch_ohlcv("BTC/USDT", "1h", START_MS + 8 * HOUR_MS, None, {"until": until})
    assert [(row[0] - START_MS) // HOUR_MS for row in page] == [8, 9, 10]
    page = client.fetch_ohlcv("BTC/USDT", "1h", None, 2, {"until": until - 1})
    assert [(row[0] - START_MS) // HOUR_MS for row in page] == [8, 9]


def test_a_start_in_the_future_gives_nothing(client: Any) -> None:
    assert client.fetch_ohlcv("BTC/USDT", "1h", NOW_MS + HOUR_MS, 10) == []


def test_the_unfinished_candle_is_there_and_is_not_the_final_one(
    client: Any, source: SimulatedCandles, server: ReplayServer
) -> None:
    [final] = truth(source, NOW_ROW, NOW_ROW + 1)
    shown = client.fetch_ohlcv("BTC/USDT", "1h")[-1]
    assert shown[0] == final[0] and shown[1] == final[1]
    assert shown[4] != final[4] and shown[5] < final[5]
    assert final[3] <= shown[3] <= min(shown[1], shown[4]) and max(shown[1], shown[4]) <= shown[2] <= final[2]
    server.clock.set(START_MS + (NOW_ROW + 1) * HOUR_MS - 1)
    later = client.fetch_ohlcv("BTC/USDT", "1h")[-1]
    assert later[0] == final[0] and later != final
    assert later[2] >= shown[2] and later[3] <= shown[3] and later[5] > shown[5]


def test_stepping_the_clock_closes_the_candle_and_opens_the_next(
    client: Any, source: SimulatedCandles, server: ReplayServer
) -> None:
    server.clock.advance(HOUR_MS // 2)
    page = client.fetch_ohlcv("BTC/USDT", "1h", NOW_MS - 2 * HOUR_MS)
    assert [row[:5] for row in page[:2]] == [row[:5] for row in truth(source, NOW_ROW - 1, NOW_ROW + 1)]
    # It opened this millisecond: one price, no volume yet.
    opening = truth(source, NOW_ROW + 1, NOW_ROW + 2)[0]
    assert page[2] == [opening[0], opening[1], opening[1], opening[1], opening[1], 0.0]
    assert len(page) == 3


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ({"symbol": "NOPEUSDT", "interval": "1h"}, ccxt.BadSymbol, '{"code": -1121, "msg": "Invalid symbol."}'),
        ({"symbol": "BTCUSDT", "interval": "7m"}, ccxt.BadRequest, '{"code": -1120, "msg": "Invalid interval."}'),
        ({"symbol": "BTCUSDT"}, ccxt.BadRequest, "-1102"),
        ({"symbol": "BTCUSDT", "interval": "1h", "startTime": "-5"}, ccxt.BadRequest, "-1100"),
        ({"symbol": "BTCUSDT", "interval": "1h", "limit": 0}, ccxt.BadRequest, "-1130"),
    ],
)
def test_wrong_requests_get_the_exchanges_codes(
    client: Any, path: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        client.publicGetKlines(path)
    assert message in str(caught.value)


def test_a_page_holds_at_most_a_thousand_rows_and_twelve_fields(client: Any) -> None:
    page = client.publicGetKlines({"symbol": "BTCUSDT", "interval": "1h", "startTime": START_MS, "limit": 5_000})
    assert len(page) == 1_000
    assert len(page[0]) == 12
    assert page[0][6] == str(START_MS + HOUR_MS - 1) or page[0][6] == START_MS + HOUR_MS - 1
    assert page[0][1] == "30000.00000000"


def test_too_fast_a_client_is_turned_away_until_the_minute_is_over(
    source: SimulatedCandles, connect: Callable[[str], Any]
) -> None:
    # exchangeInfo weighs 20 and candles 2: the third page would be 26 of 25.
    with ReplayServer(source, ReplayClock(NOW_MS), weight_limit=25) as server:
        client = connect(server.url)
        client.load_markets()
        for used in ("22", "24"):
            client.fetch_ohlcv("BTC/USDT", "1h", None, 1)
            assert client.last_response_headers["X-MBX-USED-WEIGHT-1M"] == used
        with pytest.raises(ccxt.DDoSProtection, match="-1003"):
            client.fetch_ohlcv("BTC/USDT", "1h", None, 1)
        assert 1 <= int(client.last_response_headers["Retry-After"]) <= 60


def test_recorded_candles_arrive_as_they_were_recorded(candles_dir: Path, connect: Callable[[str], Any]) -> None:
    recorded = RecordedCandles(candles_dir, "binance")
    # Across the outage of 2018-02-08 00:00, 33 hours long.
    since = 1_518_048_000_000 - 10 * HOUR_MS
    with ReplayServer(recorded, ReplayClock(since + 1_000 * HOUR_MS)) as server:
        page = np.array(connect(server.url).fetch_ohlcv("BTC/USDT", "1h", since, 100))
    candles = recorded.candles("BTC/USDT", "1h")
    first = int(np.searchsorted(candles.open_time_ms, since))
    assert np.array_equal(page[:, 0], candles.open_time_ms[first : first + 100])
    assert np.array_equal(page[:, 1:], candles.values[first : first + 100])
    assert np.diff(page[:, 0]).max() == 34 * HOUR_MS
