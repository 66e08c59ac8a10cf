"""Several exchanges as one: each bar is the formula over the sources that have it, in whatever order they came.

The exchanges a, b and c trade the same asset at prices of their own; a begins two days before the others, c misses
three hours, b one, and all of them three. Every market holds these candles, but comes to them another way:

    WHOLE     of a, b and c, all at once
    DOWN      of a, b and c, but c never answered
    FILLED    of a, b and c; c answers only later
    CHANGED   of a and b first, c is added to the sources later
    PAIR      of b and c
    SHRUNK    of a, b and c first, a is taken away later
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from built import BUILD_CANDLES, TIMEFRAMES, Built
from test_incremental import PROVENANCE, TABLES, assert_same

from flows.warehouse.transform import write_markets, write_sources
from flows.workspace.database import Warehouse
from ml.series import Series

MARKETS = ("WHOLE", "DOWN", "FILLED", "CHANGED", "PAIR", "SHRUNK")
PRICES = ("open", "high", "low", "close", "volume")
START = pd.Timestamp("2024-01-01")
HOURS = 1200
ABSENT = {"a": {700, 701, 702}, "b": {300, 700, 701, 702}, "c": {500, 501, 502, 700, 701, 702}}


def candles(exchange: str) -> pd.DataFrame:
    random = np.random.default_rng("abc".index(exchange))
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, HOURS)))
    opened = np.concatenate([[100.0], close[:-1]])
    frame = pd.DataFrame(
        {
            "open_time": START + pd.to_timedelta(np.arange(HOURS), "h"),
            "open": opened,
            "high": np.maximum(opened, close) * (1 + random.uniform(0, 0.01, HOURS)),
            "low": np.minimum(opened, close) * (1 - random.uniform(0, 0.01, HOURS)),
            "close": close,
            "volume": random.uniform(1, 9, HOURS),
        }
    ).drop(index=list(ABSENT[exchange]))
    return frame if exchange == "a" else frame[frame["open_time"] >= START + pd.Timedelta("2D")]


def formula(*exchanges: str) -> pd.DataFrame:
    """The combined candles by pandas: mean, highest, lowest, mean, sum."""
    rows = pd.concat([candles(exchange) for exchange in exchanges])
    how = {"open": "mean", "high": "max", "low": "min", "close": "mean", "volume": "sum"}
    return rows.groupby("open_time").agg(how)


def load(connection: Any, market: str, exchange: str) -> None:
    row = connection.execute("select coalesce(max(load_id), 0) + 1 from raw.loads").fetchone()
    frame = candles(exchange)  # noqa: F841 - DuckDB reads it by its name
    connection.execute(
        "insert into raw.candles by name select ? as exchange, ? as symbol, '1h' as timeframe, frame.*, ? as load_id, "
        "timestamp '2024-03-01' as loaded_at from frame",
        [exchange, f"{market}/USDT", row[0]],
    )
    connection.execute("insert into raw.loads (load_id) values (?)", row)


def configure(connection: Any, **sources: str) -> None:
    """WHOLE="abc" combines the exchanges a, b and c for the market WHOLE/USDT."""
    write_markets(
        connection, [Series(exchange="all", symbol=f"{m}/USDT", timeframe=t) for m in MARKETS for t in TIMEFRAMES], "1h"
    )
    pairs = {("all", f"{m}/USDT"): [(exchange, f"{m}/USDT") for exchange in sources[m]] for m in MARKETS}
    write_sources(connection, pairs)


@pytest.fixture(scope="module")
def combined(make_built: Callable[[str], Built], small_dbt: None, loaded_small_dbt: None) -> Built:
    """The warehouse with its stages first and second."""
    built = make_built("combined")
    with built.warehouse.connect() as connection:
        for market in MARKETS:
            for exchange in "ab" if market in ("DOWN", "FILLED") else "abc":
                load(connection, market, exchange)
        configure(connection, WHOLE="abc", DOWN="abc", FILLED="abc", CHANGED="ab", PAIR="bc", SHRUNK="abc")
    built.run(BUILD_CANDLES)
    built.keep("first")
    with built.warehouse.connect() as connection:
        load(connection, "FILLED", "c")
        configure(connection, WHOLE="abc", DOWN="abc", FILLED="abc", CHANGED="abc", PAIR="bc", SHRUNK="bc")
    built.run(BUILD_CANDLES)
    built.keep("second")
    return built


@pytest.mark.parametrize(
    ("market", "exchanges"), [("WHOLE", "abc"), ("DOWN", "ab"), ("FILLED", "ab"), ("CHANGED", "ab"), ("PAIR", "bc")]
)
def test_each_bar_is_the_formula_over_the_sources_that_have_it(combined: Built, market: str, exchanges: str) -> None:
    found = combined.table("first", "fct_candles", market, "1h")
    there = ~found["is_gap"].astype(bool)
    wanted = formula(*exchanges)
    np.testing.assert_array_equal(found["open_time"][there], wanted.index.to_numpy())
    for name in PRICES:
        np.testing.assert_allclose(found[name][there].astype(float), wanted[name], rtol=1e-14, err_msg=name)


def test_what_no_source_has_is_a_gap(combined: Built) -> None:
    found = combined.table("first", "fct_candles", "WHOLE", "1h")
    gaps = found["open_time"][found["is_gap"].astype(bool)]
    np.testing.assert_array_equal(gaps, (START + pd.to_timedelta([700, 701, 702], "h")).to_numpy())


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("market", "at_once"), [("FILLED", "WHOLE"), ("CHANGED", "WHOLE"), ("SHRUNK", "PAIR")], ids=lambda name: name
)
def test_candles_filled_later_and_changed_sources_end_as_if_all_had_been_there_at_once(
    combined: Built, market: str, at_once: str, table: str, timeframe: str
) -> None:
    found, wanted = (combined.table("second", table, name, timeframe) for name in (market, at_once))
    assert_same(found, wanted, but=PROVENANCE)
    before = combined.table("first", table, market, timeframe)
    with pytest.raises(AssertionError):
        assert_same(before, wanted, but=PROVENANCE)


def test_the_bars_are_the_same_to_the_last_bit_in_whatever_order_their_candles_came(combined: Built) -> None:
    for name in PRICES:
        filled, whole = (combined.table("second", "fct_candles", market, "1h")[name] for market in ("FILLED", "WHOLE"))
        np.testing.assert_array_equal(filled, whole)


def test_only_what_changed_is_written_again(combined: Built) -> None:
    for market in ("WHOLE", "DOWN", "PAIR"):
        before, after = (combined.table(stage, "fct_features", market, "1h") for stage in ("first", "second"))
        np.testing.assert_array_equal(before["load_id"], after["load_id"])
    # c begins after two days; the rows before them keep their load
    before, after = (combined.table(stage, "fct_candles", "FILLED", "1h")["load_id"] for stage in ("first", "second"))
    np.testing.assert_array_equal(before[:48], after[:48])
    assert (after[48:] > before[48:]).all()


def test_sources_are_put_on_record_only_when_they_change(tmp_path: Path) -> None:
    pairs = {("all", "BTC/USDT"): [("b", "BTC/USD"), ("a", "BTC/USDT")]}
    with Warehouse(tmp_path / "w.duckdb").connect() as connection:
        connection.execute("insert into raw.loads (load_id) values (7)")

        def since(minimal_sources: int = 1) -> Any:
            write_sources(connection, pairs, minimal_sources)
            return connection.execute("select distinct since_load_id, minimal_sources from raw.sources").fetchall()

        assert since() == since() == [(8, 1)]
        pairs["all", "BTC/USDT"].reverse()
        assert since() == [(8, 1)]
        assert since(2) == since(2) == [(9, 2)]
        write_sources(connection, {})
        assert connection.execute("select * from raw.sources").fetchall() == []
        # what was built of them may still be there
        assert since(2) == [(10, 2)]
        messages = connection.execute("select distinct message from raw.loads where load_id > 7").fetchall()
        assert ("sources: b BTC/USD, a BTC/USDT",) in messages
