"""The menu: six subjects, and the pages of a subject as tabs.

Every tab is a page with its own address, so a link opens it, "back" leaves it and only its own figures are computed. To
plug in a tab, write `app/views/<name>.py` and add a line to `PAGES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.navigation.page import Page as StreamlitPage


@dataclass(frozen=True)
class Page:
    """One page of the dashboard.

    Attributes:
        view: module in `app/views`.
        title: head of the page, name of its tab, key of its terms.
        menu: entry of the menu; its first page is the one that the entry opens.
        icon: name of a Material symbol.
        path: address; empty: the start page.
    """

    view: str
    title: str
    menu: str
    icon: str
    path: str

    @property
    def file(self) -> str:
        """The script of the page, as Streamlit names it."""
        return f"views/{self.view}.py"


PAGES = (
    Page("today", "Today", "Today", "today", ""),
    Page("forecasts", "Forecasts", "Forecasts", "candlestick_chart", "forecasts"),
    Page("models", "Leaderboard", "Models", "leaderboard", "models"),
    Page("champions", "Champions", "Models", "military_tech", "champions"),
    Page("verdicts", "Verdicts", "Models", "gavel", "verdicts"),
    Page("history", "Error history", "Models", "show_chart", "history"),
    Page("trading", "Trading", "Trading", "currency_exchange", "trading"),
    Page("sweep", "Sweep", "Search", "cyclone", "sweep"),
    Page("effects", "Effects", "Search", "bar_chart", "effects"),
    Page("boundary", "Decision boundary", "Search", "grid_on", "boundary"),
    Page("workers", "Workers", "Search", "group", "workers"),
    Page("reliability", "Reliability", "Trust", "verified", "reliability"),
    Page("health", "Data health", "Trust", "monitor_heart", "health"),
)
"""All pages in the order of the menu, then of the tabs."""

MENU = {menu: tuple(pages) for menu, pages in groupby(PAGES, key=lambda page: page.menu)}
"""Entry of the menu -> its pages."""


def page_of(title: str) -> Page:
    """The page with a title."""
    return next(page for page in PAGES if page.title == title)


def _to_start() -> None:
    st.switch_page(PAGES[0].file)


def streamlit_pages() -> list[StreamlitPage]:
    """The pages for `st.navigation`; only the first of each entry is in the menu, all have an address."""
    pages = [
        st.Page(
            page.file,
            title=page.menu if page is MENU[page.menu][0] else page.title,
            icon=f":material/{page.icon}:",
            url_path=page.path or "start",
            default=not page.path,
            visibility="visible" if page is MENU[page.menu][0] else "hidden",
        )
        for page in PAGES
    ]
    # Streamlit serves the start page at "/" only and reserves its `url_path`; "/today" is a natural guess.
    return [*pages, st.Page(_to_start, title="Today", url_path="today", visibility="hidden")]


def draw_tabs(page: Page) -> None:
    """The tabs of a page's subject as links, its own marked; nothing where it is the only one."""
    pages = MENU[page.menu]
    if len(pages) > 1:
        with st.container(horizontal=True, key="tabs", gap="small"):
            for one in pages:
                with st.container(key=f"tab_{'here' if one is page else one.view}", width="content"):
                    st.page_link(one.file, label=one.title)
    # Streamlit marks no entry of the menu while one of its further pages is open.
    entry = pages[0].path
    if page is not pages[0]:
        st.html(f'<style>[data-testid="stTopNavLink"][href$="/{entry}"] {{ background: var(--soft); }}</style>')
