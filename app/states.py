"""Why a page has nothing to show: unreadable, empty, not yet computed and zero are four states.

An unreadable table says nothing about its subject, so no sentence may follow from it.
"""

from __future__ import annotations

from enum import Enum
from html import escape

import streamlit as st

from app import components
from app.commands import command, command_html
from app.snapshot import Snapshot


class State(Enum):
    """State of a part of a page."""

    UNREADABLE = "unreadable"
    """The snapshot lacks the table, or it is broken: nothing is known."""
    EMPTY = "empty"
    """The table is there and has no row of the subject."""
    NOT_COMPUTED = "not yet computed"
    """There are rows, but the figure in question is null in all of them."""
    KNOWN = "known"
    """The figure is there; it may be zero."""


def state_of(snapshot: Snapshot, table: str, figure: str = "", of: str = "true", *parameters: object) -> State:
    """The state of a figure of a table.

    Args:
        snapshot: the snapshot.
        table: name of a table of the snapshot.
        figure: column that must not be null everywhere; empty: rows suffice.
        of: condition of the rows in question; `parameters` are its own.
    """
    if table in snapshot.missing:
        return State.UNREADABLE
    counted = f"count({figure})" if figure else "count(*)"
    rows, known = snapshot.query(f"select count(*), {counted} from {table} where {of}", *parameters).iloc[0]
    if not rows:
        return State.EMPTY
    return State.KNOWN if known else State.NOT_COMPUTED


def say(state: State, subject: str, step: str, detail: str = "") -> bool:
    """Draw why there is nothing; True where there is something and nothing was drawn.

    Args:
        state: of `state_of`.
        subject: the rows or figures in question, e.g. "test case of this series".
        step: the command that fills them, e.g. "sweep".
        detail: a further sentence.
    """
    if state is State.KNOWN:
        return True
    if state is State.UNREADABLE:
        components.note(
            f"<b>Unknown:</b> the snapshot lacks the table of {escape(subject)}, or it is broken. That says nothing "
            f"about them. Run {command_html('publish')}.",
            "bad",
        )
        return False
    words = {State.EMPTY: f"No {subject} yet.", State.NOT_COMPUTED: f"Not yet computed: {subject}."}[state]
    st.info(f"{words} Run {command(step)}. {detail}".strip(), icon=":material/candlestick_chart:")
    return False
