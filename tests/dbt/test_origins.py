"""A series whose origin changes: another base timeframe, a market that goes and returns, history that comes before it,
candles that are withdrawn. After every step the tables hold what a full build over the same raw candles makes of them.

The candles of each base timeframe have prices of their own, so that a row made of the wrong one is seen.

    BTC    the reference market
    PLAIN  all at once
    GONE   not configured in the second step, while its candles are revised and go on
    LATE   its first hours are loaded last
    HOLE   a hole of two days, filled from its middle on
    SHORT  its half hours begin later than its hours
    NONE   has no half hours at all
    BESIDE a misaligned candle
    PAIR   of the exchanges a and b, both are needed
    EITHER of the exchanges a and b, one is enough
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from built import BUILD_CANDLES, Built
from test_incremental import TABLES, assert_same

from flows.warehouse.transform import rebased_series, write_markets
from ml.series import Series

pytestmark = pytest.mark.usefixtures("small_dbt", "loaded_small_dbt")

DAYS = 16
MARKETS = ("BTC", "PLAIN", "GONE", "LATE", "HOLE", "SHORT", "NONE", "BESIDE")
FRAMES = {"15m": ("15m", "1h", "4h"), "30m": ("30m", "1h", "4h", "1d"), "1h": ("1h", "4h", "1d")}
START = pd.Timestamp("2024-01-01")
#: The steps after which all is built anew too.
COMPARED = ("back", "frames_back", "withdrawn", "returned")


def candles(market: str, timeframe: str) -> pd.DataFrame:
    minutes = {"15m": 15, "30m": 30, "1h": 60}[timeframe]
    n = DAYS * 24 * 60 // minutes
    random = np.random.default_rng([minutes, *market.encode()])
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002 * minutes**0.5, n)))
    opened = np.concatenate([[100.0], close[:-1]])
    reach = random.uniform(1, 1.01, (2, n))
    return pd.DataFrame(
        {
            "open_time": START + pd.to_timedelta(np.arange(n) * minutes, "min"),
            "open": opened,
            "high": np.maximum(opened, close) * reach[0],
            "low": np.minimum(opened, close) / reach[1],
            "close": close,
            "volume": random.uniform(1, 9, n),
        }
    )


class Story:
    """The warehouse, and what a full build over the same raw candles holds after some of the steps."""

    def __init__(self, make_built: Callable[[str], Built]) -> None:
        self.built = make_built("origins")
        self.rebased: dict[str, list[tuple[str, str, str]]] = {}
        self.summaries: dict[str, str] = {}
        self.load_id = 0
        with self.built.warehouse.connect() as connection:
            for symbol, needed in (("PAIR/USDT", 2), ("EITHER/USDT", 1)):
                for source in "ab":
                    connection.execute(
                        "insert into raw.sources values ('test', ?, ?, ?, 0, ?)", [symbol, source, symbol, needed]
                    )

    def load(self, market: str, timeframe: str, chosen: slice = slice(None), **changed: Any) -> None:
        """Candles number `chosen` of a market; `changed` columns replace theirs, prices=None withdraws."""
        exchange, _, name = market.rpartition(":")
        frame = candles(market, timeframe).iloc[chosen]
        if changed.pop("prices", 0) is None:
            changed = dict.fromkeys(("open", "high", "low", "close", "volume"))
        self.load_id += 1
        with self.built.warehouse.connect() as connection:
            rows = frame.assign(**{k: v if v is None else frame[k] * v for k, v in changed.items()})  # noqa: F841
            connection.execute(
                "insert into raw.candles by name select ? as exchange, ? as symbol, ? as timeframe, open_time, "
                "open::double as open, high::double as high, low::double as low, close::double as close, "
                "volume::double as volume, ? as load_id, timestamp '2024-03-01' as loaded_at from rows",
                [exchange or "test", f"{name}/USDT", timeframe, self.load_id],
            )
            connection.execute("insert into raw.loads (load_id) values (?)", [self.load_id])

    def step(self, stage: str, base: str, markets: tuple[str, ...] = MARKETS, frames: tuple[str, ...] = ()) -> None:
        with self.built.warehouse.connect() as connection:
            series = [
                Series(exchange="test", symbol=f"{market}/USDT", timeframe=timeframe)
                for market in (*markets, "PAIR", "EITHER")
                for timeframe in frames or FRAMES[base]
            ]
            write_markets(connection, series, base)
            self.rebased[stage] = rebased_series(connection)
        self.summaries[stage] = str(self.built.run(BUILD_CANDLES))
        self.built.keep(stage)
        if stage in COMPARED:
            path = self.built.warehouse.path
            shutil.copy(path, path.with_suffix(".kept"))
            self.built.run([*BUILD_CANDLES, "--full-refresh"])
            self.built.keep(f"{stage} anew")
            shutil.move(path.with_suffix(".kept"), path)


HOURS = DAYS * 24
ALL = (*MARKETS, "a:PAIR", "b:PAIR", "a:EITHER", "b:EITHER")
WITHDRAWN = {
    # of an hour series, where it was long there: within, at both ends, all, the reference market's, a whole day
    "PLAIN": [slice(100, 101), slice(200, 203)],
    "BTC": [slice(150, 151)],
    "LATE": [slice(0, 7)],
    "GONE": [slice(HOURS - 3, HOURS)],
    "SHORT": [slice(0, 2), slice(240, 264), slice(HOURS - 30, HOURS)],
    "NONE": [slice(0, HOURS)],
    "a:PAIR": [slice(50, 52), slice(HOURS - 1, HOURS)],
    "a:EITHER": [slice(50, 52), slice(HOURS - 1, HOURS)],
    "b:EITHER": [slice(51, 53)],
}


@pytest.fixture(scope="module")
def story(make_built: Callable[[str], Built]) -> Story:
    told = Story(make_built)
    tell_of_the_first_hours(told)
    tell_of_other_bases(told)
    tell_of_withdrawn_candles(told)
    return told


def tell_of_the_first_hours(told: Story) -> None:
    for market in ALL:
        if market == "LATE":
            told.load(market, "1h", slice(100, 300))
        elif market == "HOLE":
            told.load(market, "1h", slice(0, 150))
            told.load(market, "1h", slice(198, 300))
        else:
            told.load(market, "1h", slice(0, 300))
    with told.built.warehouse.connect() as connection:
        connection.execute(
            "insert into raw.candles by name select * replace (open_time + interval 30 minute as open_time) "
            "from raw.candles where symbol = 'BESIDE/USDT' and open_time = '2024-01-03'"
        )
    told.step("hours", "1h")


def tell_of_other_bases(told: Story) -> None:
    for market in ALL:
        if market != "NONE":
            told.load(market, "30m", slice(333 if market == "SHORT" else 0, 620))
    told.load("GONE", "1h", slice(60, 61), close=1.001)  # revised and continued while it is not configured
    told.load("GONE", "1h", slice(300, 310))
    told.load("PLAIN", "30m", slice(620, 622))
    told.step("finer", "30m", tuple(market for market in MARKETS if market != "GONE"))

    for market in ALL:
        told.load(market, "1h", slice(310 if market == "GONE" else 300, 330))
    told.load("PLAIN", "30m", slice(90, 91), high=1.01)  # revised while another base is configured
    told.load("LATE", "1h", slice(0, 100))
    told.load("HOLE", "1h", slice(170, 180))
    told.step("back", "1h")

    for market in ALL:
        told.load(market, "15m", slice(0, 1300))
    told.step("finest", "15m")
    for market in ALL:
        told.load(market, "30m", slice(622, 640))
    told.load("BTC", "30m", slice(640, 642))
    told.step("frames_back", "30m")

    for market in ALL:
        told.load(market, "1h", slice(330, HOURS))
    told.step("hours_again", "1h")


def tell_of_withdrawn_candles(told: Story) -> None:
    for market, chosen in WITHDRAWN.items():
        for one in chosen:
            told.load(market, "1h", one, prices=None)
    told.step("withdrawn", "1h")
    told.load("PLAIN", "1h", slice(201, 202))
    told.load("GONE", "1h", slice(HOURS - 1, HOURS))
    told.load("LATE", "1h", slice(3, 4), close=1.0001)
    told.load("NONE", "1h", slice(30, 90))
    told.load("a:PAIR", "1h", slice(50, 51))
    told.step("returned", "1h")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("stage", COMPARED)
def test_each_step_leaves_what_a_full_build_would(story: Story, stage: str, table: str) -> None:
    found, wanted = (story.built.stages[name][table] for name in (stage, f"{stage} anew"))
    assert list(found) == list(wanted)
    for series in wanted:
        assert_same(found[series], wanted[series], but=("load_id",))
        if table != "fct_labels":
            assert (np.diff(found[series]["load_id"].astype(float)) >= 0).all()


def of(story: Story, stage: str, market: str, timeframe: str = "1h") -> Any:
    return story.built.table(stage, "fct_candles", market, timeframe)


@pytest.mark.parametrize(
    ("stage", "base"), [("hours", "1h"), ("finer", "30m"), ("back", "1h"), ("finest", "15m"), ("frames_back", "30m")]
)
def test_an_hour_is_made_of_the_candles_of_the_base_timeframe(story: Story, stage: str, base: str) -> None:
    found = of(story, stage, "BTC")
    loaded = candles("BTC", base).groupby(lambda row: row // {"1h": 1, "30m": 2, "15m": 4}[base])
    wanted = loaded.agg({"open_time": "first", "open": "first", "high": "max", "low": "min", "close": "last"})
    for column in wanted:
        np.testing.assert_array_equal(found[column][:300], wanted[column].to_numpy()[:300], err_msg=column)


def test_a_change_of_the_base_timeframe_is_told_with_the_series_that_are_rebuilt(story: Story) -> None:
    assert story.rebased["hours"] == story.rebased["withdrawn"] == []
    # the half hours are new, and what has no features yet is not rebuilt
    assert {timeframe for symbol, timeframe, _ in story.rebased["finer"] if symbol == "BTC/USDT"} == {"1h", "4h", "1d"}
    assert {base for *_, base in story.rebased["finer"]} == {"30m"}
    assert ("BTC/USDT", "1h", "1h") in story.rebased["back"]
    assert ("BTC/USDT", "1d", "15m") not in story.rebased["finest"]  # not among the timeframes


def test_a_market_without_candles_of_the_base_timeframe_shows_none(story: Story) -> None:
    assert ("NONE/USDT", "1h") in story.built.stages["hours"]["fct_features"]
    for table in TABLES:
        assert not any(symbol == "NONE/USDT" for symbol, _ in story.built.stages["finer"][table])


def test_history_that_comes_before_starts_the_series_earlier(story: Story) -> None:
    late = of(story, "back", "LATE")
    assert of(story, "hours", "LATE")["open_time"][0] == START + pd.Timedelta(hours=100)
    assert late["open_time"][0] == START
    assert late["run_length"].tolist() == list(range(1, 331))
    hole = of(story, "back", "HOLE")
    assert hole["is_gap"].astype(bool).nonzero()[0].tolist() == [*range(150, 170), *range(180, 198)]


def test_a_candle_beside_the_raster_is_a_warning_and_shifts_nothing(story: Story) -> None:
    assert "assert_candles_lie_on_the_raster" in story.summaries["hours"]
    assert of(story, "hours", "BESIDE")["run_length"].tolist() == list(range(1, 301))


def test_withdrawn_candles_are_gaps_within_and_absent_at_the_ends(story: Story) -> None:
    plain = of(story, "withdrawn", "PLAIN")
    assert plain["is_gap"].astype(bool).nonzero()[0].tolist() == [100, 200, 201, 202]
    assert np.isnan(plain["close"][100]) and plain["run_length"][101] == 1
    times = {market: of(story, "withdrawn", market)["open_time"] for market in ("LATE", "GONE", "SHORT")}
    hour = pd.Timedelta(hours=1)
    assert times["LATE"][0] == START + 7 * hour
    assert times["GONE"][-1] == START + (HOURS - 4) * hour
    assert (times["SHORT"][0], times["SHORT"][-1]) == (START + 2 * hour, START + (HOURS - 31) * hour)
    days = of(story, "withdrawn", "SHORT", "1d")
    assert days["open_time"][0] == START + 24 * hour and days["is_gap"].astype(bool).nonzero()[0].tolist() == [9]
    for table in TABLES:
        assert not any(symbol == "NONE/USDT" for symbol, _ in story.built.stages["withdrawn"][table])


def test_a_combined_bar_takes_the_other_sources_while_there_are_enough(story: Story) -> None:
    pair, either = (of(story, "withdrawn", market) for market in ("PAIR", "EITHER"))
    assert pair["is_gap"].astype(bool).nonzero()[0].tolist() == [50, 51]
    assert pair["open_time"][-1] == START + pd.Timedelta(hours=HOURS - 2)
    assert either["is_gap"].astype(bool).nonzero()[0].tolist() == [51]
    assert either["close"][50] == candles("b:EITHER", "1h")["close"][50]
    assert either["close"][52] == candles("a:EITHER", "1h")["close"][52]
    assert either["open_time"][-1] == START + pd.Timedelta(hours=HOURS - 1)


def test_a_withdrawn_candle_comes_back_with_a_later_load(story: Story) -> None:
    assert of(story, "returned", "PLAIN")["is_gap"].astype(bool).nonzero()[0].tolist() == [100, 200, 202]
    assert of(story, "returned", "GONE")["open_time"][-1] == START + pd.Timedelta(hours=HOURS - 1)
    assert of(story, "returned", "GONE")["is_gap"][-4:].astype(bool).tolist() == [False, True, True, False]
    late = of(story, "returned", "LATE")
    assert late["open_time"][0] == START + pd.Timedelta(hours=3)
    assert late["is_gap"][:5].astype(bool).tolist() == [False, True, True, True, False]
    assert len(of(story, "returned", "NONE")["close"]) == 60
    assert of(story, "returned", "PAIR")["is_gap"].astype(bool).nonzero()[0].tolist() == [51]
