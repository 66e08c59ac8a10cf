"""How the dashboard looks and how its server is started.

Colours are safe for colour-blind people (up is blue, down is orange, a forecast is magenta) and middle-toned, so
that one palette reads on the light and on the dark theme; the browser's preference picks the theme. Texts in cards
use `light-dark()` in style.css, which follows Streamlit's theme without a round trip to the server.
"""

from __future__ import annotations

from pathlib import Path

UP = "#2F86CF"
DOWN = "#DB6E1E"
FORECAST = "#C2509E"
NEUTRAL = "#8A94A3"
GRID = "rgba(138,148,163,0.18)"

_CANDLES = (
    "%3Cg stroke-width='2.4' stroke-linecap='round'%3E%3Cpath stroke='%232F86CF' d='M9 5v22'/%3E"
    "%3Cpath stroke='%23C2509E' d='M23 3v20'/%3E%3C/g%3E%3Crect x='4.5' y='11' width='9' height='11' rx='2' "
    "fill='%232F86CF'/%3E%3Crect x='18.5' y='7' width='9' height='11' rx='2' fill='%23C2509E'/%3E"
)

_SVG = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'"

ICON = f"{_SVG} viewBox='0 0 32 32'%3E{_CANDLES}%3C/svg%3E"
"""The page's icon, inside the page: Streamlit would fetch a named icon from another host."""

LOGO = (
    f"{_SVG} viewBox='0 0 168 32'%3E{_CANDLES}%3Ctext x='38' y='22.5' fill='%236B7F99' font-size='19' "
    "font-weight='600' font-family='Segoe UI, Helvetica, Arial, sans-serif' "
    # A fixed length, or a wider font than the first one would be cut off.
    "textLength='126' lengthAdjust='spacingAndGlyphs'%3ECandleworks%3C/text%3E%3C/svg%3E"
)
"""Icon and name, in a tone that reads on both themes."""

STREAMLIT_FLAGS: tuple[str, ...] = (
    # The dashboard has no accounts: only this machine may reach it. Put a proxy in front to share it.
    "--server.address=127.0.0.1",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--browser.gatherUsageStats=false",
    "--client.toolbarMode=viewer",
    "--theme.light.primaryColor=#1F6FB5",
    "--theme.light.backgroundColor=#FFFFFF",
    "--theme.light.secondaryBackgroundColor=#F4F6F9",
    "--theme.light.textColor=#18212F",
    "--theme.light.borderColor=#E1E6EC",
    "--theme.dark.primaryColor=#5AA9E6",
    "--theme.dark.backgroundColor=#0F141B",
    "--theme.dark.secondaryBackgroundColor=#182029",
    "--theme.dark.textColor=#E3E8EF",
    "--theme.dark.borderColor=#2A3440",
    "--theme.baseRadius=10px",
    "--theme.baseFontSize=15",
)
"""Flags of `streamlit run`; `python -m app` passes them."""

STYLE = Path(__file__).with_name("style.css")
"""Style sheet of the pages."""

SCRIPT = f"<script>{Path(__file__).with_name('page.js').read_text('utf-8')}</script>"
"""Script that every page runs once."""
