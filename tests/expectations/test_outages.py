"""Outages of an exchange against hours without a trade: hand-made markets and the recorded ones."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.defects import quiet_faults
from expectations.outages import outage_opens
from ml.timeframes import HOUR_MS, MINUTE_MS
from tests.expectations.frames import START_MS, candles, real

MIDNIGHT_MS = START_MS // (24 * HOUR_MS) * 24 * HOUR_MS


def market(quiet: list[int] | np.ndarray, rows: int = 2_000, seed: int = 0, step_ms: int = HOUR_MS) -> pd.DataFrame:
    """Candles from a midnight on, of which some had no trade; like all, they open at the close before."""
    frame = candles(rows, start_ms=MIDNIGHT_MS, step_ms=step_ms, seed=seed)
    still = np.zeros(rows, dtype=bool)
    still[np.asarray(quiet, dtype=int)] = True
    close = frame["close"].where(~still).ffill().fillna(100.0)
    opened = close.shift().fillna(100.0)
    frame["open"], frame["close"] = opened, close
    frame["high"] = np.where(still, close, np.maximum(opened, close) * 1.002)
    frame["low"] = np.where(still, close, np.minimum(opened, close) * 0.998)
    frame.loc[still, "volume"] = 0.0
    return frame


def places(found: list[int], step_ms: int = HOUR_MS) -> list[int]:
    return [(open_ms - MIDNIGHT_MS) // step_ms for open_ms in found]


def nights(hours: range, days: int = 80) -> list[int]:
    return [24 * day + hour for day in range(days) for hour in hours]


def test_all_markets_at_once_are_an_outage_and_one_alone_is_none() -> None:
    markets = {"A": market([700, 701]), "B": market([700, 701, 1500], seed=1), "C": market([700, 701], seed=2)}
    found = outage_opens(markets, HOUR_MS)
    assert {name: places(opens) for name, opens in found.items()} == {name: [700, 701] for name in "ABC"}
    markets["D"] = market([], seed=3)  # trades in those hours, so the exchange was open
    assert outage_opens(markets, HOUR_MS) == {"A": [], "B": [], "C": [], "D": []}
    assert outage_opens({"A": markets["A"]}, HOUR_MS) == {"A": []}, "one market alone tells nothing"
    assert outage_opens({}, HOUR_MS) == {}


@pytest.mark.parametrize("step_ms", [MINUTE_MS, 5 * MINUTE_MS, 4 * HOUR_MS, 24 * HOUR_MS])
def test_any_timeframe(step_ms: int) -> None:
    markets = {"A": market([700], step_ms=step_ms), "B": market([700], seed=1, step_ms=step_ms)}
    found = outage_opens(markets, step_ms)
    assert [places(opens, step_ms) for opens in found.values()] == [[700], [700]]


def test_a_market_that_misses_the_interval_stands_still_too() -> None:
    gone = market([], seed=1).drop([700, 701])
    assert places(outage_opens({"A": market([700]), "B": gone}, HOUR_MS)["A"]) == [700]
    # but one that is not listed yet, or no more, or not loaded for weeks, is not there
    for absent in (gone.iloc[720:], gone.iloc[:650], gone.drop(range(600, 699)).drop(range(702, 900))):
        assert outage_opens({"A": market([700]), "B": absent}, HOUR_MS)["A"] == []
        both = outage_opens({"A": market([700]), "B": absent, "C": market([700], seed=2)}, HOUR_MS)
        assert places(both["A"]) == places(both["C"]) == [700]


SLEEPERS = {
    "one hour each night": (nights(range(4, 5)), nights(range(4, 5))),
    "long nights": (nights(range(22, 24)), nights(range(20, 24))),
    "most of the day": (nights(range(3, 24)), nights(range(1, 22))),
    "weekends": ([168 * week + hour for week in range(11) for hour in range(48)],) * 4,
    "some nights": ([24 * day + 4 for day in range(0, 80, 9)], [24 * day + 4 for day in range(0, 80, 4)]),
}


@pytest.mark.parametrize("case", SLEEPERS)
def test_thin_markets_that_sleep_at_the_same_time_are_no_outage(case: str) -> None:
    markets = {f"M{n}": market(quiet, seed=n) for n, quiet in enumerate(SLEEPERS[case])}
    assert not any(outage_opens(markets, HOUR_MS).values())


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("count", [2, 4])
def test_thin_markets_that_meet_by_chance_are_no_outage(share: float, count: int) -> None:
    random = np.random.default_rng(int(share * 100) + count)
    markets = {f"M{n}": market(np.flatnonzero(random.random(2_000) < share), seed=n) for n in range(count)}
    named = sum(len(opens) for opens in outage_opens(markets, HOUR_MS).values())
    assert named <= count, "by chance one interval may be called an outage in one of twenty sets of markets"


def test_an_outage_is_found_among_sleepers_if_a_busy_market_stood_still_too() -> None:
    thin, busy, other = (market([*nights(range(4, 6)), 1000]), market([1000], seed=1), market([1000], seed=2))
    found = outage_opens({"thin": thin, "busy": busy, "other": other}, HOUR_MS)
    assert [places(opens) for opens in found.values()] == [[1000]] * 3
    # the quiet hours before it belong to the night, but to the same run: they touch what is missing
    thin = market([*nights(range(4, 6)), 1014])  # 41 days and 14, then 1014 = 42 days and 6: after 04:00 and 05:00
    busy, other = (market([1014], seed=seed) for seed in (1, 2))
    found = outage_opens({"thin": thin, "busy": busy, "other": other}, HOUR_MS)
    assert places(found["thin"]) == [1012, 1013, 1014] and places(found["busy"]) == [1014]


def test_quiet_runs_at_an_own_gap_are_named_without_other_markets() -> None:
    frame = market([50, 51, 52, 60]).drop([53, 54])
    assert places(outage_opens({"A": frame, "B": market([], seed=1)}, HOUR_MS)["A"]) == [50, 51, 52]


def test_order_copies_and_other_times_do_not_matter() -> None:
    a, b = market([700]), market([700], seed=1)
    expected = outage_opens({"A": a, "B": b}, HOUR_MS)
    mixed = pd.concat([a, a.iloc[690:710]]).sample(frac=1, random_state=1)
    naive = b.assign(open_time=b["open_time"].dt.tz_localize(None))
    assert outage_opens({"A": mixed, "B": naive}, HOUR_MS) == expected
    assert outage_opens({"A": mixed, "B": naive, "C": a.head(0)}, HOUR_MS) == {**expected, "C": []}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_without_the_candles_it_names_it_names_no_more(data: st.DataObject) -> None:
    rows = data.draw(st.integers(2, 300))
    some = st.lists(st.integers(0, rows - 1), max_size=40)
    common, markets = data.draw(some), {}
    for name in "ABC"[: data.draw(st.integers(1, 3))]:
        frame = market(sorted({*common, *data.draw(some)}), rows=rows, seed=ord(name))
        markets[name] = frame.drop(sorted(set(data.draw(some))))
    before = {name: frame.copy() for name, frame in markets.items()}
    found = outage_opens(markets, HOUR_MS)
    for name, frame in markets.items():
        pd.testing.assert_frame_equal(frame, before[name])
        opens = frame["open_time"].astype("int64") // (10**6 if "ns" in str(frame["open_time"].dtype) else 1)
        opens = opens // (1000 if "us" in str(frame["open_time"].dtype) else 1)
        assert set(found[name]) <= set(opens[frame["volume"] == 0])
        markets[name] = frame[~opens.isin(found[name])]
    assert not any(outage_opens(markets, HOUR_MS).values())


def test_what_shows_only_without_the_candles_named_first_is_named_as_well() -> None:
    """An interval that alone was a coincidence is none once the longer spell beside it is gone."""
    markets = {name: market([42, 88, 89, 90], rows=143, seed=ord(name)) for name in "ABC"}
    found = outage_opens(markets, HOUR_MS)
    for name, frame in markets.items():
        markets[name] = frame[~frame["open_time"].isin(pd.to_datetime(found[name], unit="ms", utc=True))]
    assert outage_opens(markets, HOUR_MS) == {"A": [], "B": [], "C": []}


def test_four_markets_of_sixty_thousand_candles_take_a_fraction_of_a_second() -> None:
    random = np.random.default_rng(0)
    markets = {
        f"M{n}": market(np.flatnonzero(random.random(60_000) < share), rows=60_000, seed=n)
        for n, share in enumerate((0.001, 0.05, 0.5, 0.9))
    }
    started = time.process_time()
    outage_opens(markets, HOUR_MS)
    assert time.process_time() - started < 1.0  # measured 0.1 s


def hours_of(folder: Path, exchange: str, timeframe: str) -> dict[str, pd.DataFrame]:
    files = sorted((folder / exchange).glob(f"*/{timeframe}.parquet"))
    if not files:
        pytest.skip(f"no recorded candles of {exchange} {timeframe} in {folder}")
    return {file.parent.name: real(folder, f"{exchange}/{file.parent.name}/{timeframe}") for file in files}


# Quiet hours of one market while the others traded: early weeks, thin.
TRUE_QUIET = {
    "ETH-USDT": ["2017-08-19 23:00", "2017-09-09 20:00"],
    "BNB-USDT": ["2017-11-23 22:00"],
    "LINK-USDT": ["2019-05-02 05:00"],
}


def quiet_kept(markets: dict[str, pd.DataFrame], timeframe_ms: int) -> dict[str, list[str]]:
    """Quiet candles that are not part of an outage, of markets that have some."""
    kept = {}
    for name, opens in outage_opens(markets, timeframe_ms).items():
        frame = markets[name].drop_duplicates("open_time")
        times = frame.loc[frame["volume"] == 0, "open_time"]
        rest = times[~times.isin(pd.to_datetime(opens, unit="ms", utc=True))]
        if len(rest):
            kept[name] = rest.dt.strftime("%Y-%m-%d %H:%M").tolist()
    return kept


def test_the_outages_of_binance_are_found_in_all_its_markets(candles_dir: Path) -> None:
    markets = hours_of(candles_dir, "binance", "1h")
    assert quiet_kept(markets, HOUR_MS) == TRUE_QUIET
    for moment in ("2019-06-07 21:00", "2021-02-11 03:00", "2023-03-24 12:00"):
        open_ms = int(pd.Timestamp(moment, tz="UTC").timestamp() * 1000)
        there = {name for name, f in markets.items() if (f["open_time"] == pd.Timestamp(moment, tz="UTC")).any()}
        assert {name for name, opens in outage_opens(markets, HOUR_MS).items() if open_ms in opens} == there


@pytest.mark.parametrize(("timeframe", "minutes", "count"), [("5m", 5, 14), ("3m", 3, 24)])
def test_the_halt_of_march_2023_in_minutes(candles_dir: Path, timeframe: str, minutes: int, count: int) -> None:
    markets = hours_of(candles_dir, "binance", timeframe)
    found = outage_opens(markets, minutes * MINUTE_MS)
    start_ms = int(pd.Timestamp("2023-03-24 11:30", tz="UTC").timestamp() * 1000)
    expected = [start_ms + place * minutes * MINUTE_MS for place in range(count)]
    assert found == dict.fromkeys(markets, expected)


def test_outages_that_a_collector_filled_are_found_by_two_markets(candles_dir: Path) -> None:
    """117 hours of 23 outages, one of 33 hours; ether was quiet in two more of its first weeks."""
    markets = hours_of(candles_dir, "binance-cdd", "1h")
    assert quiet_kept(markets, HOUR_MS) == {"ETH-USDT": TRUE_QUIET["ETH-USDT"]}


def test_the_quiet_minutes_of_a_perpetual_future_are_candles(candles_dir: Path) -> None:
    markets = hours_of(candles_dir, "binance-futures", "1m")
    frame = markets["FIL-USDT"]
    assert not quiet_faults(frame)["filler_candle"].any() and outage_opens(markets, MINUTE_MS) == {"FIL-USDT": []}
    assert not quiet_faults(frame, MINUTE_MS, frame.head(100))["filler_candle"].any()
    # A sister with its own quiet minutes in the same slow hours does not make them an outage.
    later = frame.iloc[:-7].assign(open_time=frame["open_time"].iloc[7:].to_numpy())
    assert sum(map(len, outage_opens({**markets, "B": later}, MINUTE_MS).values())) == 0
    # Where minutes are lost beside a quiet one, that one goes too.
    at = int(np.flatnonzero(frame["volume"] == 0)[5])
    assert np.flatnonzero(quiet_faults(frame.drop(index=at + 1))["filler_candle"]).tolist() == [at]
