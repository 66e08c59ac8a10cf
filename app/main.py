"""The dashboard's entry: page list and style. Start it with `python -m app` (see `app/__main__.py`)."""

from __future__ import annotations

import streamlit as st

from app.theme import ICON, LOGO, STYLE


def main() -> None:
    """Draw the chosen page."""
    st.set_page_config(
        page_title="Candleworks",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    st.html(STYLE)
    st.logo(LOGO)
    pages = [
        st.Page("views/forecasts.py", title="Forecasts", icon=":material/candlestick_chart:", default=True),
        st.Page("views/models.py", title="Best models", icon=":material/leaderboard:", url_path="models"),
        st.Page("views/champions.py", title="Champions", icon=":material/military_tech:", url_path="champions"),
        st.Page("views/verdicts.py", title="Verdicts", icon=":material/gavel:", url_path="verdicts"),
        st.Page("views/reliability.py", title="Reliability", icon=":material/verified:", url_path="reliability"),
        st.Page("views/trading.py", title="Trading", icon=":material/currency_exchange:", url_path="trading"),
        st.Page("views/history.py", title="Error history", icon=":material/show_chart:", url_path="history"),
        st.Page("views/sweep.py", title="Sweep", icon=":material/cyclone:", url_path="sweep"),
        st.Page("views/health.py", title="Data health", icon=":material/monitor_heart:", url_path="health"),
        st.Page("views/effects.py", title="Effects", icon=":material/bar_chart:", url_path="effects"),
        st.Page("views/boundary.py", title="Decision boundary", icon=":material/grid_on:", url_path="boundary"),
        st.Page("views/workers.py", title="Workers", icon=":material/group:", url_path="workers"),
    ]
    st.navigation(pages, position="top").run()


main()
