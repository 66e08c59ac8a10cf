"""Figures of errors and skills. Both arrive in percent; times are UTC, naive."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.figures import new_figure
from app.theme import DOWN, FORECAST, GRID, NEUTRAL, UP

LOWEST_SKILL = -15.0
"""One very bad model must not squeeze the others: skills below (percent) are drawn at this edge."""


def skill_of_all_cases(cases: pd.DataFrame) -> go.Figure:
    """Every test case as a dot: its skill by model. Zero is the baseline.

    Args:
        cases: model, skill_percent, is_champion, rank.
    """
    order = cases.groupby("model").skill_percent.max().sort_values().index
    figure = new_figure(max(210, 70 + 34 * len(order)), legend=False)
    kinds = ((~cases.is_champion, NEUTRAL, 8, "circle"), (cases.is_champion, FORECAST, 14, "diamond"))
    for mask, colour, size, symbol in kinds:
        chosen = cases[mask]
        figure.add_trace(
            go.Scatter(
                x=chosen.skill_percent.clip(lower=LOWEST_SKILL),
                y=chosen.model,
                mode="markers",
                marker={"color": colour, "size": size, "opacity": 0.75, "symbol": symbol},
                customdata=chosen[["rank", "skill_percent"]],
                hovertemplate="rank %{customdata[0]}: %{customdata[1]:+.1f} %<extra>%{y}</extra>",
            )
        )
    figure.add_vline(x=0, line={"color": UP, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=0, y=1, yref="paper", yanchor="bottom", text="baseline", showarrow=False, font={"color": UP, "size": 12}
    )
    figure.update_layout(hovermode="closest", margin={"t": 24})
    # The baseline belongs into the picture also where every case is better.
    low = min(max(cases.skill_percent.min(), LOWEST_SKILL), 0.0)
    high = max(cases.skill_percent.max(), 0.0)
    figure.update_xaxes(ticksuffix=" %", range=[low - 2.0, high + 2.0])
    figure.update_yaxes(categoryorder="array", categoryarray=list(order))
    return figure


def best_error(history: pd.DataFrame, baseline_error_pct: float | None, by_time: bool) -> go.Figure:
    """Error of each tested case and the best error so far.

    Args:
        history: trial, finished_at, rmse_pct, best_rmse_pct, model.
        baseline_error_pct: The baseline's error on the same rows; None where unknown.
        by_time: Over the time of the test, else over the number of the trial.
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
            customdata=history[["model"]],
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
    figure.update_xaxes(title=None if by_time else "test cases tried")
    return figure


def live_error(rolling: pd.DataFrame) -> go.Figure:
    """Live error of the forecasts beside the baseline's.

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


def live_shares(rolling: pd.DataFrame, band_level_percent: float) -> go.Figure:
    """Hit rate and band coverage over a window, beside the coin's 50 % and the band's level (percent)."""
    figure = new_figure(280)
    for column, name, colour in (("hit_rate", "Hit rate", UP), ("coverage", "Band coverage", FORECAST)):
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
    for level, colour in ((50.0, UP), (band_level_percent, FORECAST)):
        figure.add_hline(y=level, line={"color": colour, "width": 1, "dash": "dot"})
    figure.update_yaxes(ticksuffix=" %", range=[0, 103])
    return figure


def winners_curse(champions: pd.DataFrame) -> go.Figure:
    """Selection, holdout and live skill of each champion on one line.

    Args:
        champions: label, selection, holdout, live (percent; null where not measured).
    """
    figure = new_figure(110 + 46 * len(champions))
    for _, row in champions.iterrows():
        known = row[["selection", "holdout", "live"]].dropna()
        figure.add_trace(
            go.Scatter(
                x=[known.min(), known.max()],
                y=[row.label, row.label],
                mode="lines",
                line={"color": GRID, "width": 5},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    for column, name, colour, symbol in (
        ("selection", "Selection", NEUTRAL, "circle-open"),
        ("holdout", "Holdout", UP, "diamond"),
        ("live", "Live", FORECAST, "circle"),
    ):
        figure.add_trace(
            go.Scatter(
                x=champions[column],
                y=champions.label,
                mode="markers",
                name=name,
                marker={"color": colour, "size": 13, "symbol": symbol, "line": {"width": 2.5, "color": colour}},
                hovertemplate="%{y}: %{x:+.1f} %",
            )
        )
    figure.add_vline(x=0, line={"color": DOWN, "width": 1.5, "dash": "dash"})
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %")
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
