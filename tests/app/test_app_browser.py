"""The real server in a real browser: each page on a desk and on a phone, without errors or sideways scroll."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from synthetic_snapshot import write_snapshot

from tests.browser import CHROMIUM, dashboard, headless, settle

PAGES = [
    "Forecasts", "Best models", "Champions", "Verdicts", "Reliability", "Trading", "Error history", "Sweep",
    "Data health", "Effects", "Decision boundary", "Workers",
]  # fmt: skip#: Pages in a wide menu; it has the further ones behind "more".
SHOWN = 9

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dashboard over the synthetic snapshot."""
    store = tmp_path_factory.mktemp("store")
    write_snapshot(store)
    with dashboard(store) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with headless() as chromium:
        yield chromium


@pytest.mark.parametrize(("width", "height", "scheme"), [(1280, 900, "light"), (390, 844, "dark")])
def test_every_page_draws_without_errors_and_fits_the_screen(
    server: str, browser: Browser, width: int, height: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    problems: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: foreign.append(request.url) if not _is_ours(request.url, server) else None)
    page.goto(server)
    for title in PAGES if width < 640 else PAGES[:SHOWN]:
        if title != "Forecasts":
            expand = page.get_by_test_id("stExpandSidebarButton")
            if expand.count():
                expand.click()
            page.get_by_role("link", name=title).first.click()
        settle(page, title)
        assert page.locator("[data-testid=stException]").count() == 0, title
        assert page.locator("[data-testid=stAlertContentError]").count() == 0, title
        for element in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            assert page.evaluate(f"{element}.scrollWidth") <= width, title
    page.close()
    assert problems == []
    assert foreign == [], "the dashboard must work without the internet"


def _is_ours(url: str, server: str) -> bool:
    return url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))


def test_a_tap_on_a_card_opens_its_chart_and_a_link_to_it_opens_the_same(server: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(server)
    settle(page, "Forecasts")
    page.get_by_role("button", name="Open DOGE/USDT · 4h").click()
    page.wait_for_url("**series=DOGE**")
    page.wait_for_function("Math.abs(document.querySelector('.st-key-detail').getBoundingClientRect().top) < 200")
    link = page.url
    page.close()
    other = browser.new_page()
    other.goto(link)
    settle(other, "Forecasts")
    assert other.locator(".st-key-series input").input_value() == "DOGE/USDT · 4h"
    other.close()
