"""Figures of verdicts over time. Times are UTC, naive."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app import formats
from app.figures import new_figure
from app.theme import DOWN, FORECAST, NEUTRAL, UP

_LOOKS = {
    "promoted": ("Promoted", UP, "triangle-up"),
    "confirmed": ("Confirmed", UP, "circle-open"),
    "refused": ("Refused", NEUTRAL, "x-thin"),
    "retired": ("Retired", DOWN, "triangle-down"),
}


def timeline(verdicts: pd.DataFrame, tenures: pd.DataFrame, series: list[str]) -> go.Figure:
    """Every verdict as a marker in the row of its series, over bars for the time that a model served.

    Args:
        verdicts: series, decided_at, decision, hover.
        tenures: series, model, start, end.
        series: names of the rows, from the top down.
    """
    figure = new_figure(100 + 34 * len(series))
    rows = {name: number for number, name in enumerate(series)}
    for number, (_, tenure) in enumerate(tenures.iterrows()):
        figure.add_trace(
            go.Scatter(
                x=[tenure.start, tenure.end],
                y=[rows[tenure.series]] * 2,
                mode="lines",
                name="A model serves",
                legendgroup="tenure",
                showlegend=number == 0,
                line={"color": FORECAST, "width": 9},
                opacity=0.3,
                hovertemplate=f"{formats.name(tenure.model)} serves<extra></extra>",
            )
        )
    for decision, (name, colour, symbol) in _LOOKS.items():
        part = verdicts[verdicts.decision == decision]
        if part.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=part.decided_at,
                y=part.series.map(rows),
                mode="markers",
                name=name,
                marker={"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2.2, "color": colour}},
                customdata=part[["hover"]],
                hovertemplate="%{customdata[0]}<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
            )
        )
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(tickvals=list(rows.values()), ticktext=series, range=[len(series) - 0.4, -0.6])
    return figure
