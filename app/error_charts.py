"""Figures of errors over trials and over time. Errors arrive in percent; times are UTC, naive."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app import formats
from app.figures import new_figure
from app.theme import DOWN, FORECAST, NEUTRAL, UP

#: Up to this many cases the axis labels every trial.
FEW_CASES = 12


def best_error(history: pd.DataFrame, baseline_error_pct: float | None, by_time: bool) -> go.Figure:
    """Error of each tested case and the best error so far.

    Args:
        history: trial, finished_at, rmse_pct, best_rmse_pct, model.
        baseline_error_pct: The baseline's error on the same rows; None where unknown.
        by_time: x is the time of the test, else the number of the trial.
    """
    figure = new_figure(340)
    x = history.finished_at if by_time else history.trial
    figure.add_trace(
        go.Scatter(
            x=x,
            y=history.rmse_pct,
            mode="markers",
            name="Test case",
            marker={"color": NEUTRAL, "size": 6, "opacity": 0.6},
            customdata=history.model.map(formats.name).to_frame(),
            hovertemplate="%{customdata[0]} %{y:.3f} %<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=history.best_rmse_pct,
            mode="lines",
            name="Best so far",
            line={"color": UP, "width": 2.4, "shape": "hv"},
            hovertemplate="best %{y:.3f} %<extra></extra>",
        )
    )
    bounds = [history.best_rmse_pct.min(), history.rmse_pct.quantile(0.8)]
    if baseline_error_pct is not None:
        figure.add_hline(y=baseline_error_pct, line={"color": DOWN, "width": 1.6, "dash": "dash"})
        figure.add_trace(
            go.Scatter(
                x=[None], y=[None], mode="lines", name="Baseline", line={"color": DOWN, "width": 1.6, "dash": "dash"}
            )
        )
        bounds = [min(bounds[0], baseline_error_pct), max(bounds[1], baseline_error_pct)]
    margin = 0.08 * (bounds[1] - bounds[0]) or 0.01
    figure.update_yaxes(ticksuffix=" %", range=[bounds[0] - margin, bounds[1] + 2 * margin])
    if not by_time:
        # With few cases, automatic ticks would fall on halves.
        figure.update_xaxes(title="test cases tried", dtick=1 if len(history) <= FEW_CASES else None)
    return figure


def live_error(rolling: pd.DataFrame) -> go.Figure:
    """Live error of the forecasts and of the baseline.

    Args:
        rolling: target_open_time, error, baseline_error (percent, RMS over a window).
    """
    figure = new_figure(320)
    for column, name, colour, dash in (
        ("baseline_error", "Baseline", DOWN, "dash"),
        ("error", "Forecasts", UP, "solid"),
    ):
        figure.add_trace(
            go.Scatter(
                x=rolling.target_open_time,
                y=rolling[column],
                mode="lines",
                name=name,
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate="%{y:.3f} %",
            )
        )
    figure.update_yaxes(ticksuffix=" %")
    return figure


def live_shares(rolling: pd.DataFrame, level_percent: float) -> go.Figure:
    """Hit rate and interval coverage over a window, with their references: 50 % (a coin) and the nominal level."""
    figure = new_figure(280)
    for column, name, colour in (("hit_rate", "Hit rate", UP), ("coverage", "Coverage", FORECAST)):
        figure.add_trace(
            go.Scatter(
                x=rolling.target_open_time,
                y=rolling[column],
                mode="lines",
                name=name,
                line={"color": colour, "width": 2},
                hovertemplate="%{y:.0f} %",
            )
        )
    for level, colour in ((50.0, UP), (level_percent, FORECAST)):
        figure.add_hline(y=level, line={"color": colour, "width": 1, "dash": "dot"})
    figure.update_yaxes(ticksuffix=" %", range=[0, 103])
    return figure
