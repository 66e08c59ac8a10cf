"""Building blocks that all pages share: header, choice of a series, grids of numbers, empty states, small HTML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import clock, formats, limits
from app.commands import command
from app.first_run import draw_first_run
from app.navigation import draw_tabs, page_of
from app.provenance import Provenance, provenance_of
from app.snapshot import Snapshot, current_snapshot, read_pointer
from app.terms import PAGE_TERMS, TERMS, explained
from ml.errors import StoreError

_SERIES_SQL = """
select exchange, symbol, timeframe,
    symbol || ' · ' || timeframe
        || case when (select count(distinct exchange) from markets) > 1 then ' · ' || exchange else '' end as label
from markets order by exchange, symbol, timeframe_ms
"""

Series = tuple[str, str, str]
"""Exchange, symbol, timeframe."""

NAMES_OF_CODE = ("model", "baseline", "feature_set", "rule", "target")
"""Columns of tables whose cells are names of the code, such as "ewma_range"."""

OF_SERIES = "exchange = ? and symbol = ? and timeframe = ?"
"""Condition of a query about one series; its parameters are a `Series`."""


def open_page(title: str, subtitle: str) -> Snapshot:
    """Draw the head of a page and return the snapshot to show; a broken pointer ends the script here."""
    page = page_of(title)
    draw_tabs(page)
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
    if snapshot.version:
        st.html(head_line(snapshot))
    st.html(f'<div class="cw-line">{escape(subtitle)}</div>')
    if snapshot.missing and snapshot.version:
        st.warning(
            f"The snapshot lacks {', '.join(snapshot.missing)}, or they are broken; their figures are unknown. "
            f"Run {command('publish')} to write a complete one.",
            icon=":material/warning:",
        )
    _watch(snapshot.version)
    return snapshot


def provenance(snapshot: Snapshot) -> Provenance:
    """Kind and age of the candles of a snapshot."""
    exchanges = list(snapshot.query("select distinct exchange from markets").exchange)
    shortest = snapshot.value("select min(timeframe_ms) from markets") or 3_600_000
    candle = timedelta(milliseconds=int(shortest))
    return provenance_of(exchanges, snapshot.exchange_time, snapshot.published_at, candle, clock.now())


def head_line(snapshot: Snapshot) -> str:
    """Provenance, freshness and publication as HTML: the line in the head of every page."""
    where = provenance(snapshot)
    tone = "old" if where.is_old else where.kind
    chip = f'<span class="cw-prov {tone}" title="{escape(where.detail)}">{escape(where.words)}</span>'
    series, fresh = snapshot.query("select count(*), count(*) filter (freshness = 'fresh') from data_health").iloc[0]
    # At the publication; an old live snapshot is fresh no more.
    state = f"fresh <b>{fresh}/{series}</b>" if series else "freshness unknown"
    if where.is_old:
        state = f"{state} when published"
    published = f"published {formats.iso_moment(snapshot.published_at)} UTC"
    return f'<div class="cw-line cw-top">{chip}<span>{state}</span><span>{published}</span></div>'


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
    return limits.unless_few(champion.live_forecasts, formats.skill(champion.live_skill))


def live_numbers(key: str, live: pd.Series) -> None:
    """The live figures of a series, by the one rule for few data; `live` is a row of the champions table."""

    def shown(text: str) -> str:
        return limits.unless_few(live.live_forecasts, text)

    numbers(
        key,
        [
            ("Scored", formats.count(live.live_forecasts), "Forecasts that were scored; late ones do not count."),
            ("Live error", shown(formats.percent(live.live_error_pct)), TERMS["error"]),
            ("Baseline's", shown(formats.percent(live.live_baseline_error_pct)), TERMS["baseline"]),
            ("Live skill", live_skill(live), TERMS["skill"]),
            ("Coverage", shown(formats.share(live.live_coverage)), TERMS["prediction interval"]),
            ("Hit rate", shown(formats.share(live.live_hit_rate)), TERMS["hit rate"]),
        ],
    )
    warn_of_few(int(live.live_forecasts or 0))


def warn_of_few(scored: int) -> None:
    """Warn that live figures rest on too few forecasts."""
    if limits.few(scored):
        st.caption(f"{scored} scored so far: too few. Live figures are shown from {limits.ENOUGH_LIVE} on.")


def nothing_published(snapshot: Snapshot) -> bool:
    """Show the state of the first run and return True if no snapshot exists."""
    if snapshot.version:
        return False
    draw_first_run()
    return True


def series_labels(snapshot: Snapshot) -> dict[str, Series]:
    """Label -> series, by market and then from the shortest timeframe to the longest."""
    frame = snapshot.query(_SERIES_SQL)
    return {row.label: (row.exchange, row.symbol, row.timeframe) for row in frame.itertuples()}  # type: ignore[misc]


def choose_series(snapshot: Snapshot) -> Series | None:
    """Let the user choose market and timeframe; the choice is in the address and is kept from page to page."""
    labels = series_labels(snapshot)
    if not labels:
        empty("No market is configured in this snapshot.", command("publish"))
        return None
    warn_of_unknown("series", list(labels))
    chosen = st.selectbox("Market and timeframe", list(labels), key="series", bind="query-params")
    return labels[chosen]


def warn_of_unknown(key: str, known: list[str]) -> None:
    """Say that a link names something that is not there, before the first of the known ones is shown instead."""
    asked = st.query_params.get(key) or st.session_state.get(key)
    if asked is None or asked in known:
        return
    st.session_state[key] = known[0]
    st.warning(
        f"The link names {formats.in_markdown(str(asked))}, which is not in this snapshot. Shown is "
        f"{formats.in_markdown(known[0])}. There are {formats.in_markdown(', '.join(known))}.",
        icon=":material/link_off:",
    )


def chosen_of(key: str, known: list[str]) -> str:
    """The choice of a widget that is drawn later: of its reader, of the address, else the first of the known ones."""
    asked = st.session_state.get(key) or st.query_params.get(key)
    return str(asked) if asked in known else known[0]


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
    """A table with the columns of `config`, in its order, names of the code as words; tall ones scroll inside."""
    shown = frame[list(config)]
    words = {column: shown[column].map(formats.name) for column in NAMES_OF_CODE if column in config}
    return st.dataframe(
        shown.assign(**words),
        column_config=config,
        hide_index=True,
        width="stretch",
        placeholder=formats.DASH,
        **options,
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
