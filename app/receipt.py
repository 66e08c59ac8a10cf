"""The receipt of a sealed forecast: its hash, when it was issued, when its candle opened, and how to check it."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import formats
from app.commands import command


def seal_lines(row: pd.Series) -> list[tuple[str, str]]:
    """Name and value of each line of the receipt; `row` is one of the forecasts table."""
    if formats.is_missing(row.hash):
        return []
    lead = (row.target_open_time - row.issued_at).total_seconds()
    if lead > 0:
        when = f"{formats.duration(lead)} before its candle opened"
    elif lead == 0:
        when = "at the moment its candle opened"
    else:
        when = f"{formats.duration(-lead)} after its candle opened"
    counts = "late, never counted" if formats.is_true(row.late) else "in time, counts"
    return [
        ("Hash", str(row.hash)),
        ("Number in the chain", formats.count(row.sequence)),
        ("Issued at", f"{row.issued_at:%Y-%m-%d %H:%M:%S} UTC, {when}: {counts}"),
        ("Candle opened at", f"{row.target_open_time:%Y-%m-%d %H:%M:%S} UTC"),
        ("Candle closes at", f"{row.target_close_time:%Y-%m-%d %H:%M:%S} UTC"),
    ]


def show_receipt(row: pd.Series) -> None:
    """Draw the receipt of a forecast; a snapshot without hashes has none and says so."""
    with st.expander("Seal receipt"):
        lines = seal_lines(row)
        if not lines:
            st.caption("This snapshot does not hold the seal of the forecast.")
            return
        cells = "".join(f"<div>{name}</div><code>{escape(value)}</code>" for name, value in lines)
        st.html(f'<div class="cw-receipt">{cells}</div>')
        st.caption("No record before it can be changed without changing this hash. To check all chains:")
        st.code(command("verify").strip("`"), language=None)
