"""Several test cases side by side: figures and parameters as rows, cases as columns."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import components, formats
from app.case_detail import parameters
from app.evidence import interval_text

MOST_CASES = 8


def compared(cases: pd.DataFrame) -> pd.DataFrame:
    """A row per figure or parameter and a column per case, "#rank model"; a dash where a case lacks one.

    Args:
        cases: rows of the leaderboard.
    """
    columns = {}
    for _, case in cases.iterrows():
        figures = {
            "skill": formats.skill(case.skill),
            "90 % interval": interval_text(case),
            "holdout skill": "sealed" if formats.is_missing(case.holdout_skill) else formats.skill(case.holdout_skill),
            "error": formats.percent(case.rmse_pct),
            "coverage": formats.share(case.band_coverage, 1),
            "fit": formats.duration(case.fit_seconds),
        }
        columns[f"#{int(case['rank'])} {formats.name(case.model)}"] = figures | parameters(case.case_json)
    return pd.DataFrame(columns).fillna(formats.DASH).rename_axis("figure").reset_index()


def differing(rows: pd.DataFrame) -> pd.DataFrame:
    """Only the rows of `compared` in which the cases differ."""
    return rows[rows.drop(columns="figure").nunique(axis=1) > 1]


def draw_comparison(cases: pd.DataFrame) -> None:
    """Draw the comparison of at least two cases."""
    st.subheader(f"Comparison of {len(cases)} cases", anchor=False, help="The rows that are marked in the table above.")
    rows = compared(cases)
    if st.toggle("Show only what differs", value=True, key="only_differing", bind="query-params"):
        rows = differing(rows)
    if rows.empty:
        st.caption("The cases do not differ in any figure or parameter.")
        return
    text = st.column_config.TextColumn
    names = {name: text(name, width="medium") for name in rows.columns if name != "figure"}
    components.table(rows, {"figure": text("Figure or parameter", pinned=True), **names}, key="comparison")
