"""One warehouse for all tests of the dbt project, taken through the life of a warehouse in a few runs of dbt.

Every market holds the same 3,900 real candles (a real gap of 33 hours within), but comes to them another way; the
reference market (BTC) holds the candles of another one:

    FULL      all at once
    TEN       all at once, prices times ten
    TAIL      all but the last 60; then 37 more; then the other 23
    REVISED   with a wrong candle 500 before the end, revised later
    HOLE      without three candles, filled later
    NEW       configured and loaded later
    CUT_0 ..  cut at a random candle, and so they stay
    BTC       the reference market, with a wrong candle 1,000 before the end, revised later

So after the last run each of them must equal FULL, and FULL must equal a full refresh.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from built import ALL_CANDLES, BUILD_CANDLES, CUTS, REAL, Built, configure, load

from flows.workspace.database import Warehouse

#: A sentiment for all markets, known at moments that fall between the hours.
OUTSIDE = (
    "INSERT INTO raw.outside BY NAME SELECT 'sentiment' AS name, '' AS symbol, {value} AS value, {load_id} AS load_id, "
    "timestamp '2018-01-12' + to_seconds({hours} * 3600) AS available_at, now()::TIMESTAMP AS loaded_at "
    "FROM range({numbers}) AS r (number)"
)
MARKETS = ("FULL", "TEN", "TAIL", "REVISED", "HOLE", "BTC", *CUTS)


@pytest.fixture(scope="session")
def make_built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """An empty warehouse with folders for dbt."""

    def make(name: str) -> Built:
        folder = tmp_path_factory.mktemp(name)
        return Built(Warehouse(folder / "warehouse.duckdb"), folder / "dbt", folder / "logs")

    return make


@pytest.fixture(scope="session")
def built(candles_dir: Path, make_built: Callable[[str], Built], loaded_dbt: None) -> Built:
    """The warehouse at the end of its life, with its stages: first, second, third, unchanged, full_refresh."""
    built = make_built("candles")
    real, reference = (
        f"({REAL.format(path=candles_dir / 'binance' / m / '1h.parquet')})" for m in ("BTC-USDT", "ETH-USDT")
    )
    ten = "SELECT * REPLACE (open * 10 AS open, high * 10 AS high, low * 10 AS low, close * 10 AS close)"
    wrong = "SELECT * REPLACE (if(n = {n}, close * 0.99, close) AS close, if(n = {n}, low * 0.98, low) AS low)"
    with built.warehouse.connect() as connection:
        configure(connection, *MARKETS)
        load(connection, "FULL", f"FROM {real}", 1)
        load(connection, "TEN", f"{ten} FROM {real}", 2)
        load(connection, "TAIL", f"FROM {real} WHERE n <= 3840", 3)
        load(connection, "REVISED", f"{wrong.format(n=3400)} FROM {real}", 4)
        load(connection, "HOLE", f"FROM {real} WHERE n NOT IN (3201, 3202, 3203)", 5)
        load(connection, "BTC", f"{wrong.format(n=2900)} FROM {reference}", 5)
        for market, n in CUTS.items():
            load(connection, market, f"FROM {real} WHERE n <= {n}", 5)
        connection.execute(OUTSIDE.format(hours="number * 7.5", value="sin(number)", numbers=600, load_id=5))
    built.run(ALL_CANDLES, unit_tests=True)
    built.keep("first")
    with built.warehouse.connect() as connection:
        configure(connection, *MARKETS, "NEW")
        load(connection, "TAIL", f"FROM {real} WHERE n BETWEEN 3841 AND 3877", 6)
        load(connection, "REVISED", f"FROM {real} WHERE n = 3400", 7)
        load(connection, "HOLE", f"FROM {real} WHERE n IN (3201, 3202, 3203)", 8)
        load(connection, "NEW", f"FROM {real}", 9)
        load(connection, "BTC", f"FROM {reference} WHERE n = 2900", 9)
    built.run(BUILD_CANDLES)
    built.keep("second")
    with built.warehouse.connect() as connection:
        load(connection, "TAIL", f"FROM {real} WHERE n > 3877", 10)
        # a value that becomes known late in time but was overlooked until now
        connection.execute(OUTSIDE.format(hours="3700.25", value="-5", numbers=1, load_id=11))
    built.run(BUILD_CANDLES)
    built.keep("third")
    with built.warehouse.connect() as connection:
        # rows that no load has touched; whoever writes them again is caught
        last = "(SELECT max(candle_id) FROM intermediate.int_features__rsi GROUP BY candle_id // 10000000000000)"
        connection.execute(f"UPDATE intermediate.int_features__rsi SET rsi_14 = -99 WHERE candle_id IN {last}")
    built.run(BUILD_CANDLES)
    built.keep("unchanged")
    built.run([*BUILD_CANDLES, "--full-refresh"])
    built.keep("full_refresh")
    return built
