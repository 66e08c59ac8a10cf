"""Layout shared by all figures: size, grid colours, legend, and how they are drawn on a page."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from app.theme import GRID


def show(figure: go.Figure, key: str, alt: str) -> None:
    """Draw a figure as wide as its place. No zoom by drag: a finger must be able to scroll the page."""
    st.plotly_chart(figure, key=key, alt=alt, width="stretch", config={"displayModeBar": False})


def new_figure(height: int, legend: bool = True) -> go.Figure:
    """An empty figure of a height in pixels."""
    return arrange(go.Figure(), height, legend)


def arrange(figure: go.Figure, height: int, legend: bool = True) -> go.Figure:
    """Give a figure, which may have several rows, the layout that all share; height in pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 4, "t": 34 if legend else 8, "b": 4},
        dragmode=False,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        hovermode="x unified",
    )
    figure.update_xaxes(gridcolor=GRID, automargin=True, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, automargin=True, zeroline=False)
    return figure
