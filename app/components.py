"""Building blocks that all pages share: header, choice of a series, grids of numbers, empty states, small HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import formats
from app.snapshot import Snapshot, current_snapshot, read_pointer, store_url
from app.terms import PAGE_TERMS, explained
from ml.errors import StoreError

_SERIES_SQL = """
select exchange, symbol, timeframe,
    symbol || ' · ' || timeframe
        || case when (select count(distinct exchange) from markets) > 1 then ' · ' || exchange else '' end as label
from markets order by exchange, symbol, timeframe_ms
"""

Series = tuple[str, str, str]
"""Exchange, symbol, timeframe."""

ENOUGH_LIVE = 20
"""Minimal number of scored forecasts; live skill over fewer is luck and is not shown."""

OF_SERIES = "exchange = ? and symbol = ? and timeframe = ?"
"""Condition of a query about one series; its parameters are a `Series`."""


def open_page(title: str, subtitle: str) -> Snapshot:
    """Draw the head of a page and return the snapshot to show; a broken pointer ends the script here."""
    head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", wrap=False)
    head.title(title, anchor=False, width="content")
    with head.popover("Glossary", icon=":material/help:", help="The terms on this page"):
        for term in PAGE_TERMS[title]:
            st.markdown(f"**{term[0].upper()}{term[1:]}** {explained(term)}")
    try:
        snapshot = current_snapshot()
    except StoreError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()
    st.html(f'<div class="cw-line">{escape(subtitle)}{_state_of(snapshot)}</div>')
    if snapshot.missing and snapshot.version:
        st.warning(
            f"The snapshot lacks {', '.join(snapshot.missing)}; their data is shown as empty. "
            "Run `candleworks publish` to write a complete one.",
            icon=":material/warning:",
        )
    _watch(snapshot.version)
    return snapshot


def _state_of(snapshot: Snapshot) -> str:
    if not snapshot.version:
        return ""
    exchange = formats.iso_moment(snapshot.exchange_time)
    published = formats.iso_moment(snapshot.published_at)
    return f" &nbsp;·&nbsp; exchange time <b>{exchange} UTC</b> &nbsp;·&nbsp; published {published} UTC"


@st.fragment(run_every=10)
def _watch(shown_version: str) -> None:
    """Rerun the page once a newer snapshot is published."""
    try:
        pointer = read_pointer()
    except StoreError:
        return
    if pointer is not None and pointer["version"] != shown_version:
        st.rerun(scope="app")


def empty(what: str, command: str, detail: str = "") -> None:
    """Say that there is nothing to show yet and which command changes that."""
    st.info(f"{what} Run {command}. {detail}".strip(), icon=":material/candlestick_chart:")


def live_skill(champion: pd.Series) -> str:
    """Live skill of a series; a dash for too few forecasts."""
    enough = (champion.live_forecasts or 0) >= ENOUGH_LIVE
    return formats.skill(champion.live_skill if enough else None)


def warn_of_few(scored: int) -> None:
    """Warn that live figures rest on too few forecasts."""
    if scored < ENOUGH_LIVE:
        st.caption(f"{scored} scored so far: too few. The figures become meaningful from {ENOUGH_LIVE} on.")


def nothing_published(snapshot: Snapshot) -> bool:
    """Show the first-time message and return True if no snapshot exists."""
    if snapshot.version:
        return False
    empty(
        "Nothing is published yet.",
        "`make demo` for the whole loop on simulated markets, or `candleworks ingest` and the steps after it",
        f"Looked into `{store_url()}`.",
    )
    return True


def series_labels(snapshot: Snapshot) -> dict[str, Series]:
    """Label -> series, by market and then from the shortest timeframe to the longest."""
    frame = snapshot.query(_SERIES_SQL)
    return {row.label: (row.exchange, row.symbol, row.timeframe) for row in frame.itertuples()}  # type: ignore[misc]


def choose_series(snapshot: Snapshot) -> Series | None:
    """Let the user choose market and timeframe; the choice is in the address and is kept from page to page."""
    labels = series_labels(snapshot)
    if not labels:
        empty("No market is configured in this snapshot.", "`candleworks publish`")
        return None
    chosen = st.selectbox("Market and timeframe", list(labels), key="series", bind="query-params")
    return labels[chosen]


def champion_of(snapshot: Snapshot, series: Series) -> pd.Series | None:
    """The row of the champions table of a series; None where there is none yet."""
    frame = snapshot.query(f"select * from champions where {OF_SERIES}", *series)
    return frame.iloc[0] if len(frame) else None


def numbers(key: str, items: Iterable[tuple[str, str, str | None]]) -> None:
    """A grid of label, value and help text; two columns on a phone."""
    with st.container(key=f"kpi_{key}"):
        for label, value, explanation in items:
            st.metric(label, value, help=explanation, border=True)


def note(html: str, tone: str = "") -> None:
    """A highlighted sentence with a coloured edge. `html` is already escaped; tone is "", "good" or "bad"."""
    st.html(f'<div class="cw-note {tone}">{html}</div>')


def bar_rows(rows: Iterable[tuple[str, float, float, str]]) -> None:
    """Bars with a name and a value; each (name, filled share, failed share, value)."""
    parts = []
    for name, filled, failed, value in rows:
        parts.append(
            f'<div class="cw-row"><div class="name" title="{escape(name)}">{escape(name)}</div>'
            f'<div class="track"><div class="fill" style="width:{100 * filled:.2f}%"></div>'
            f'<div class="bad" style="width:{100 * failed:.2f}%"></div></div>'
            f'<div class="val">{escape(value)}</div></div>'
        )
    st.html(f'<div class="cw-rows">{"".join(parts)}</div>')


def table(frame: pd.DataFrame, config: dict[str, Any], **options: Any) -> Any:
    """A table with the columns of `config`, in its order; tall ones scroll inside."""
    return st.dataframe(
        frame[list(config)], column_config=config, hide_index=True, width="stretch", placeholder=formats.DASH, **options
    )


def signed_column(label: str, term: str | None = None) -> Any:
    """A column of skills, given in percent."""
    return st.column_config.NumberColumn(label, help=explained(term) if term else None, format="%+.1f %%")


def percent_column(label: str, term: str | None = None, digits: int = 3) -> Any:
    """A column of errors or shares, given in percent."""
    return st.column_config.NumberColumn(label, help=explained(term) if term else None, format=f"%.{digits}f %%")


def time_column(label: str) -> Any:
    """A column of UTC times."""
    return st.column_config.DatetimeColumn(f"{label} (UTC)", format="YYYY-MM-DD HH:mm")
