"""Why this forecast: the largest contributions to it as a table, and how far its inputs are from those learnt from."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from app import components, formats
from app.terms import TERMS

_PARTS = ("high", "low", "close")


def contribution_rows(contributions: str) -> pd.DataFrame:
    """A forecast as a sum, from `contributions` of a forecast (JSON).

    Returns:
        name, value (of an input; null for other rows), range, high, low, close in 100 x log units, that is nearly
        percent of the last close: the largest inputs, all other inputs, the base, the change that makes a valid candle,
        if there is one, and their sum.

    Raises:
        TypeError, ValueError, KeyError: the text has another form.
    """
    parts = json.loads(contributions)
    rows = [(one["column"], one["value"], one["labels"]) for one in parts["inputs"]]
    rows += [("All other inputs", None, parts["others"]), ("Base", None, parts["base"])]
    if any(parts["coherence"]):
        rows.append(("Made a valid candle", None, parts["coherence"]))
    rows.append(("Forecast", None, [sum(column) for column in zip(*(labels for *_, labels in rows), strict=True)]))
    frame = pd.DataFrame([[name, value, *labels] for name, value, labels in rows], columns=["name", "value", *_PARTS])
    frame[list(_PARTS)] *= 100
    frame["value"] = frame["value"].astype(float)
    return frame.assign(range=frame.high - frame.low)


def show_explanation(row: pd.Series) -> None:
    """Draw it for a forecast; nothing for one of an earlier version."""
    known = not formats.is_missing(row.contributions)
    if formats.is_missing(row.novelty) and not known:
        return
    with st.expander("Why this forecast"):
        if not formats.is_missing(row.novelty):
            beyond = "beyond it, so the baseline serves" if row.novelty > 1 else "within it"
            st.caption(f"Novelty {formats.decimal(row.novelty)} of the limit: {beyond}. {TERMS['novelty']}")
        if not known:
            why = (
                "The baseline has none."
                if row.is_baseline
                else f"A model of the family {formats.name(row.model)} has none."
            )
            st.caption(f"No contributions of inputs. {why}")
            return
        try:
            rows = contribution_rows(row.contributions)
        except (TypeError, ValueError, KeyError):
            st.caption("The contributions of this forecast cannot be read.")
            return
        st.caption(TERMS["contributions"])
        _table(rows)


def _table(rows: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    parts = {name: number(name.capitalize(), format="%+.3f") for name in ("range", *_PARTS)}
    components.table(
        rows,
        {"name": st.column_config.TextColumn("Input"), "value": number("Its value", format="%.4g"), **parts},
        key="contributions",
    )
