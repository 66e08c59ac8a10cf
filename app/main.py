"""The dashboard's entry: page list and style. Start it with `python -m app` (see `app/__main__.py`)."""

from __future__ import annotations

import streamlit as st

from app.navigation import streamlit_pages
from app.theme import ICON, LOGO, SCRIPT, STYLE


def main() -> None:
    """Draw the chosen page."""
    st.set_page_config(
        page_title="Candleworks",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    st.html(STYLE)
    st.html(SCRIPT, unsafe_allow_javascript=True)
    st.logo(LOGO)
    st.navigation(streamlit_pages(), position="top").run()


main()
