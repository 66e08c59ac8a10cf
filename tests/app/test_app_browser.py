"""The real server in a real browser: each page on a desk and on a phone, in both themes, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from app.navigation import PAGES
from tests.browser import CHROMIUM, dashboard, headless, settle

CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8").split("\n", 1)[1]
#: Size and colour of what is drawn in the place of a figure that loads.
SKELETONS = """[...document.querySelectorAll('[data-testid=stSkeleton]')].map(one => ({
    height: one.offsetHeight, width: one.offsetWidth, colour: getComputedStyle(one).backgroundColor}))"""
#: Presses of the tabulator that reach the first row of the start page at most: menu, glossary, and no more than that.
FEW_PRESSES = 20
#: Looks in a row that find nothing, before a page counts as settled.
QUIET_LOOKS = 4

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def server(snapshot: Path) -> Iterator[str]:
    """Address of a dashboard over the synthetic snapshot."""
    with dashboard(snapshot) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with headless() as chromium:
        yield chromium


@pytest.mark.parametrize(("width", "height"), [(1360, 900), (390, 844)])
def test_every_page_draws_without_errors_fits_the_screen_and_can_be_read(
    server: str, browser: Browser, width: int, height: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    problems: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: foreign.append(request.url) if not _is_ours(request.url, server) else None)
    page.goto(server)
    menu, schemes = "Today", ["light", "dark"]
    for one in PAGES:
        if one.menu != menu:
            _choose_in_menu(page, one.menu)
        elif one.path:
            page.locator(".st-key-tabs").get_by_role("link", name=one.title).click()
        menu = one.menu
        settle(page, one.title)
        assert page.locator("[data-testid=stException]").count() == 0, one.title
        assert page.locator("[data-testid=stAlertContentError]").count() == 0, one.title
        for element in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            assert page.evaluate(f"{element}.scrollWidth") <= width, one.title
        for scheme in schemes:
            assert _hard_to_read(page, scheme) == [], (one.title, scheme)
        schemes.reverse()  # the next page begins with the theme of this one
        assert page.locator("[data-testid=stSidebar][aria-expanded=true]").count() == 0, "the menu covers the page"
    page.close()
    assert problems == []
    assert foreign == [], "the dashboard must work without the internet"


def _hard_to_read(page: Page, scheme: str) -> list[str]:
    """Texts of too little contrast once the page follows the theme: a rerun dims what it redraws for a moment."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    follows = f"getComputedStyle(document.querySelector('.stApp')).colorScheme === '{scheme}'"
    page.wait_for_function(follows)
    quiet = 0
    for _ in range(100):
        found: list[str] = page.evaluate(CONTRAST)
        quiet = 0 if found else quiet + 1
        if quiet == QUIET_LOOKS:
            return []
        page.wait_for_timeout(150)
    return found


def _choose_in_menu(page: Page, entry: str) -> None:
    expand = page.get_by_test_id("stExpandSidebarButton")
    if expand.count():
        expand.click()
        page.get_by_test_id("stSidebarNavLink").filter(has_text=entry).click()
        page.wait_for_function("!document.querySelector('[data-testid=stSidebar][aria-expanded=true]')")
        return
    page.get_by_test_id("stTopNavLink").filter(has_text=entry).click()


def _is_ours(url: str, server: str) -> bool:
    return url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))


def test_a_figure_that_is_not_drawn_yet_has_a_skeleton_in_its_place(server: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    held: list[Route] = []
    # A method of the list itself cannot be a handler: Playwright marks the function.
    page.route("**/PlotlyChart*.js", lambda route: held.append(route))  # noqa: PLW0108
    page.goto(f"{server}/forecasts")
    page.wait_for_function(
        f"{SKELETONS}.length === 2 && {SKELETONS}.every(one => one.height >= 200 && one.width > 400)"
    )
    for one in page.evaluate(SKELETONS):
        assert one["colour"] not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"), "it can be seen"
    assert len(held) == 1
    held[0].continue_()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    assert page.evaluate(SKELETONS) == []
    page.close()


def test_the_keyboard_opens_a_row_and_back_leaves_it_with_one_press(server: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    page.goto(f"{server}/today")
    settle(page, "Today")
    focus = "document.activeElement.closest('[class*=st-key-card_row_]') !== null"
    for _ in range(FEW_PRESSES):
        page.keyboard.press("Tab")
        if page.evaluate(focus):
            break
    assert page.evaluate(focus)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/forecasts\?.*series=BTC"))
    settle(page, "Forecasts")
    page.get_by_text("160 candles").click()
    page.wait_for_url("**candles_shown=160**")
    page.go_back()
    settle(page, "Today")
    page.close()


def test_a_tap_on_a_card_opens_its_chart_and_a_link_to_it_opens_the_same(server: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{server}/forecasts")
    settle(page, "Forecasts")
    page.get_by_role("button", name="Open DOGE/USDT · 4h").click()
    page.wait_for_url("**series=DOGE**")
    page.wait_for_function("Math.abs(document.querySelector('.st-key-detail').getBoundingClientRect().top) < 200")
    page.get_by_text(re.compile("Replay the last")).click()
    page.wait_for_url("**replay_shown=true**")
    link = page.url
    page.close()
    other = browser.new_page()
    other.goto(link)
    settle(other, "Forecasts")
    assert other.locator(".st-key-series input").input_value() == "DOGE/USDT · 4h"
    title = other.locator(".js-plotly-plot .gtitle")
    assert "no forecast scored yet" in str(title.text_content())
    requests: list[str] = []
    other.on("request", lambda request: requests.append(request.url))
    other.get_by_text("▶ 16x").click()
    other.wait_for_function("/held \\d+ of [1-9]/.test(document.querySelector('.gtitle').textContent)")
    assert requests == [], "playing asks the server for nothing"
    other.close()
