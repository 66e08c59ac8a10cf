"""The real server in a real browser: each page on a desk and on a phone, without errors or sideways scroll."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from synthetic_snapshot import write_snapshot

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"))), None
)
PAGES = [
    "Forecasts", "Best models", "Champions", "Verdicts", "Reliability", "Error history", "Sweep", "Data health",
]  # fmt: skip
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dashboard over the synthetic snapshot, started as the launcher starts it."""
    store = tmp_path_factory.mktemp("store")
    write_snapshot(store)
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "--port", str(port)],
        cwd=REPOSITORY,
        env=os.environ | {"CANDLEWORKS_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/_stcore/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert process.poll() is None, "the server ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise AssertionError(f"{url} did not answer within a minute")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        chromium.close()


def _settle(page: Page, title: str) -> None:
    page.wait_for_selector(f"h1:has-text('{title}')", timeout=60_000)
    page.wait_for_selector("[data-testid=stMetric], .cw-note", timeout=60_000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    page.wait_for_timeout(500)


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
    for title in PAGES:
        if title != "Forecasts":
            expand = page.get_by_test_id("stExpandSidebarButton")
            if expand.count():
                expand.click()
            page.get_by_role("link", name=title).first.click()
        _settle(page, title)
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
    _settle(page, "Forecasts")
    page.get_by_role("button", name="Open DOGE/USDT · 4h").click()
    page.wait_for_url("**series=DOGE**")
    page.wait_for_function("Math.abs(document.querySelector('.st-key-detail').getBoundingClientRect().top) < 200")
    link = page.url
    page.close()
    other = browser.new_page()
    other.goto(link)
    _settle(other, "Forecasts")
    assert other.locator(".st-key-series input").input_value() == "DOGE/USDT · 4h"
    other.close()
