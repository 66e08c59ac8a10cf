"""Every page over markets named like perpetuals, or with signs that Markdown and addresses take for more."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import streamlit as st
from dashboard_harness import OpenPage, Published, text
from streamlit.testing.v1 import AppTest
from synthetic_snapshot import CHAMPIONS

from app import formats

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
PAGES = [
    "forecasts", "models", "champions", "verdicts", "reliability", "trading", "history", "sweep", "effects", "boundary",
    "workers", "health",
]  # fmt: skip
NAMES = {"BTC/USDT": "BTC/USDT:USDT", "ETH/USDT": "$MYRO/$WIF", "DOGE/USDT": "币安_人生/USD:币安_人生"}


@pytest.fixture
def renamed(published: Published) -> Published:
    """The synthetic snapshot with its three markets under other names."""
    whens = " ".join(f"when '{old}' then '{new}'" for old, new in NAMES.items())
    for file in published.folder.glob("*.parquet"):
        with duckdb.connect(":memory:") as database:
            database.execute(f"create table t as from '{file}'")
            columns = {name for name, *_ in database.execute("describe t").fetchall()}
            if "symbol" in columns:
                database.execute(f"update t set symbol = case symbol {whens} else symbol end")
                database.execute(f"copy t to '{file}' (format parquet)")
    st.cache_resource.clear()
    return published


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_every_market(renamed: Published, open_page: OpenPage, page: str) -> None:
    app = open_page(page)
    if page == "forecasts":
        assert all(text(app).count(f"{symbol} ") >= 3 for symbol in NAMES.values())
    if page in ("forecasts", "models", "champions", "history"):
        for symbol in NAMES.values():
            app.selectbox(key="series").set_value(f"{symbol} · 1h").run()
            assert not app.exception
            assert app.selectbox(key="series").value == f"{symbol} · 1h"


def test_a_market_is_chosen_by_the_address_and_its_numbers_are_its_own(renamed: Published) -> None:
    for symbol in NAMES.values():
        app = AppTest.from_file(str(MAIN), default_timeout=60)
        app.switch_page("views/forecasts.py")
        app.query_params["series"] = f"{symbol} · 4h"
        app.run()
        assert not app.exception
        assert app.selectbox(key="series").value == f"{symbol} · 4h"
        close = renamed.cell(
            f"select close from candles where symbol = '{symbol}' and timeframe = '4h' order by open_time desc limit 1"
        )
        assert next(metric.value for metric in app.metric if metric.label == "Last close") == formats.price(close)


def test_a_card_opens_its_market(renamed: Published, open_page: OpenPage) -> None:
    app = open_page("forecasts")
    labels = [button.label for button in app.button if button.label.startswith("Open ")]
    assert r"Open BTC/USDT\:USDT · 1h" in labels and r"Open \$MYRO/\$WIF · 4h" in labels
    next(button for button in app.button if button.label == r"Open \$MYRO/\$WIF · 4h").click().run()
    assert not app.exception
    assert app.selectbox(key="series").value == "$MYRO/$WIF · 4h"


def test_markets_without_a_forecast_are_named_and_make_no_formula(renamed: Published, open_page: OpenPage) -> None:
    path = renamed.folder / "forecasts.parquet"
    renamed.sql("select * from forecasts where symbol <> '$MYRO/$WIF'").to_parquet(path)
    st.cache_resource.clear()
    [caption] = [one.value for one in open_page("forecasts").caption if "No forecast yet" in one.value]
    assert caption == (r"No forecast yet for \$MYRO/\$WIF · 1h, \$MYRO/\$WIF · 4h, \$MYRO/\$WIF · 1d.")


def test_champions_keep_their_markets(renamed: Published, open_page: OpenPage) -> None:
    served = {f"{NAMES[symbol]} · {timeframe}" for symbol, timeframe in CHAMPIONS}
    shown = {
        name for frame in open_page("champions").dataframe if "series" in frame.value for name in frame.value.series
    }
    assert served <= shown


def test_names_are_shown_as_they_are() -> None:
    assert formats.in_markdown("BTC/USDT · 1h") == "BTC/USDT · 1h"
    assert formats.in_markdown("a*b_c[d](e)<f>`g`:h:") == r"a\*b\_c\[d\]\(e\)\<f\>\`g\`\:h\:"
