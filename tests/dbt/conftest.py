"""One warehouse for all tests of the dbt project, taken through the life of a warehouse in a few runs of dbt.

Every market holds the same 3,000 real candles (two real gaps within), but comes to them another way:

    FULL      all at once
    TEN       all at once, prices times ten
    TAIL      all but the last 60; then 37 more; then the other 23
    REVISED   with a wrong candle 500 before the end, revised later
    HOLE      without three candles, filled later
    NEW       configured and loaded later

So after the last run each of them must equal FULL, and FULL must equal a full refresh.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from built import BUILD_CANDLES, REAL, Built, configure, load

from flows.warehouse import Warehouse


@pytest.fixture(scope="session")
def make_built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """An empty warehouse with folders for dbt."""

    def make(name: str) -> Built:
        folder = tmp_path_factory.mktemp(name)
        return Built(Warehouse(folder / "warehouse.duckdb"), folder / "dbt", folder / "logs")

    return make


@pytest.fixture(scope="session")
def built(candles_dir: Path, make_built: Callable[[str], Built]) -> Built:
    """The warehouse at the end of its life, with its stages: first, second, third, unchanged, full_refresh."""
    built = make_built("candles")
    path = candles_dir / "binance" / "BTC-USDT" / "1h.parquet"
    real = f"({REAL.format(path=path)})"
    ten = "SELECT * REPLACE (open * 10 AS open, high * 10 AS high, low * 10 AS low, close * 10 AS close)"
    wrong = "SELECT * REPLACE (if(n = 2500, close * 0.99, close) AS close, if(n = 2500, low * 0.98, low) AS low)"
    with built.warehouse.connect() as connection:
        configure(connection, "FULL", "TEN", "TAIL", "REVISED", "HOLE")
        load(connection, "FULL", f"FROM {real}", 1)
        load(connection, "TEN", f"{ten} FROM {real}", 2)
        load(connection, "TAIL", f"FROM {real} WHERE n <= 2940", 3)
        load(connection, "REVISED", f"{wrong} FROM {real}", 4)
        load(connection, "HOLE", f"FROM {real} WHERE n NOT IN (2301, 2302, 2303)", 5)
    built.run(BUILD_CANDLES, unit_tests=True)
    built.keep("first")
    with built.warehouse.connect() as connection:
        configure(connection, "FULL", "TEN", "TAIL", "REVISED", "HOLE", "NEW")
        load(connection, "TAIL", f"FROM {real} WHERE n BETWEEN 2941 AND 2977", 6)
        load(connection, "REVISED", f"FROM {real} WHERE n = 2500", 7)
        load(connection, "HOLE", f"FROM {real} WHERE n IN (2301, 2302, 2303)", 8)
        load(connection, "NEW", f"FROM {real}", 9)
    built.run(BUILD_CANDLES)
    built.keep("second")
    with built.warehouse.connect() as connection:
        load(connection, "TAIL", f"FROM {real} WHERE n > 2977", 10)
    built.run(BUILD_CANDLES)
    built.keep("third")
    with built.warehouse.connect() as connection:
        # a row that no load has touched; whoever writes it again is caught
        last = "(SELECT max(open_time) FROM marts.fct_features)"
        connection.execute(f"UPDATE marts.fct_features SET rsi_14 = -99 WHERE open_time = {last}")
    built.run(BUILD_CANDLES)
    built.keep("unchanged")
    built.run([*BUILD_CANDLES, "--full-refresh"])
    built.keep("full_refresh")
    return built
