"""Figures of interval coverage, of the change of errors since selection, and of the weights over the rounds.

Shares and changes arrive in percent; times are UTC, naive.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.figures import new_figure
from app.theme import DOWN, FORECAST, NEUTRAL, UP

ALARM_RANGE = (70.0, 90.0)
"""Coverage of the 80 % interval, in percent, outside of which the alarm is raised."""

_STATES = {
    "holds": ("as promised", UP, "circle"),
    "off": ("differs by more than chance, no alarm", DOWN, "circle-open"),
    "too few": ("too few forecasts", NEUTRAL, "circle-open"),
    "alarm": ("alarm", DOWN, "x"),
}
_GROUP_STATES = {
    "holds": ("no alarm", UP, "circle"),
    "too few": ("too few forecasts for an alarm", NEUTRAL, "circle-open"),
    "alarm": ("alarm", DOWN, "x"),
}
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def _asymmetric(part: pd.DataFrame, colour: str) -> dict[str, object]:
    return {
        "type": "data", "symmetric": False, "array": part.upper - part.coverage,
        "arrayminus": part.coverage - part.lower, "color": colour, "thickness": 2.2, "width": 4,
    }  # fmt: skip


def coverage(observed: pd.DataFrame, level: float) -> go.Figure:
    """Observed coverage of one level for every series, with its confidence interval and the nominal level.

    Args:
        observed: series, coverage, lower, upper (percent), forecasts, state ("holds", "off", "too few" or "alarm").
        level: nominal level in percent.
    """
    figure = new_figure(90 + 34 * len(observed))
    observed = observed.reset_index(drop=True)
    for state, (name, colour, symbol) in _STATES.items():
        part = observed[observed.state == state]
        if part.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=part.coverage,
                y=part.index,
                mode="markers",
                name=name,
                marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
                error_x=_asymmetric(part, colour),
                customdata=part[["forecasts", "series", "lower", "upper"]],
                hovertemplate="%{customdata[1]}: %{x:.0f} % of %{customdata[0]} forecasts "
                "(90 %: %{customdata[2]:.0f} to %{customdata[3]:.0f})<extra></extra>",
            )
        )
    if level == 80.0:
        figure.add_vrect(x0=ALARM_RANGE[0], x1=ALARM_RANGE[1], fillcolor=UP, opacity=0.08, line_width=0, layer="below")
    figure.add_vline(x=level, line={"color": FORECAST, "width": 1.8, "dash": "dash"})
    low = min(observed.lower.min(), level - 12.0)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %", range=[max(low - 3.0, 0.0), 101.0])
    figure.update_yaxes(
        tickvals=list(observed.index), ticktext=list(observed.series), range=[len(observed) - 0.4, -0.6], showgrid=False
    )
    return figure


def coverage_by_group(groups: pd.DataFrame) -> go.Figure:
    """Coverage of the 80 % interval in each group of candles, with its standard error.

    Args:
        groups: group_name, coverage, coverage_se (percent), forecasts, state ("holds", "too few" or "alarm").
    """
    figure = new_figure(280)
    groups = groups.assign(group_name=groups.group_name.str.removesuffix(" UTC"))  # the title has it
    for state, (name, colour, symbol) in _GROUP_STATES.items():
        part = groups[groups.state == state]
        if part.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=part.group_name,
                y=part.coverage,
                mode="markers",
                name=name,
                marker={"color": colour, "size": 9, "symbol": symbol, "line": {"width": 2, "color": colour}},
                error_y={"type": "data", "array": part.coverage_se, "color": colour, "thickness": 1.8, "width": 3},
                customdata=part[["forecasts", "coverage_se"]],
                hovertemplate="%{x}: %{y:.0f} % of %{customdata[0]} forecasts "
                "(standard error %{customdata[1]:.1f})<extra></extra>",
            )
        )
    figure.add_hline(y=80, line={"color": FORECAST, "width": 1.8, "dash": "dash"})
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(categoryorder="array", categoryarray=list(groups.group_name), type="category")
    figure.update_yaxes(ticksuffix=" %", range=[max(min(55.0, groups.coverage.min() - 10.0), 0.0), 102])
    return figure


def promised_and_observed(observed: pd.DataFrame) -> go.Figure:
    """Observed over nominal coverage of one series; on the diagonal the intervals hold.

    Args:
        observed: level, coverage, lower, upper (percent).
    """
    figure = new_figure(320)
    figure.add_trace(
        go.Scatter(
            x=[0, 100], y=[0, 100], mode="lines", name="as promised", hoverinfo="skip",
            line={"color": NEUTRAL, "width": 1.5, "dash": "dash"},
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=observed.level,
            y=observed.coverage,
            mode="lines+markers",
            name="observed",
            line={"color": FORECAST, "width": 2},
            marker={"size": 9},
            error_y=_asymmetric(observed, FORECAST),
            hovertemplate="%{x:.0f} % interval: %{y:.0f} %<extra></extra>",
        )
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %", range=[40, 101], title="promised")
    figure.update_yaxes(ticksuffix=" %", range=[min(40.0, observed.lower.min() - 3.0), 101])
    return figure


def error_changes(changes: pd.DataFrame) -> go.Figure:
    """How much the error of the model and of the baseline grew since selection, one row per champion.

    Args:
        changes: label, model_change, baseline_change (percent).
    """
    figure = new_figure(100 + 44 * len(changes))
    changes = changes.reset_index(drop=True)
    for column, name, colour, symbol in (
        ("baseline_change", "Baseline", DOWN, "diamond-open"),
        ("model_change", "Model", FORECAST, "circle"),
    ):
        figure.add_trace(
            go.Scatter(
                x=changes[column],
                y=changes.index,
                mode="markers",
                name=name,
                marker={"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2.2, "color": colour}},
                customdata=changes[["label"]],
                hovertemplate="%{customdata[0]}: %{x:+.0f} %",
            )
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    both = changes[["model_change", "baseline_change"]]
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %", range=[min(both.min().min(), 0.0) - 3.0, max(both.max().max(), 0.0) + 3.0])
    figure.update_yaxes(
        tickvals=list(changes.index), ticktext=list(changes.label), range=[len(changes) - 0.4, -0.6], showgrid=False
    )
    return figure


def contender_weights(weights: pd.DataFrame, serving: str | None) -> go.Figure:
    """Weight of each contender over the rounds; the one that serves is drawn thick.

    Args:
        weights: round_time, contender, weight.
        serving: name of the contender that serves, None where it is not among them.
    """
    figure = new_figure(320)
    others = 0
    for name, part in weights.groupby("contender", sort=True):
        serves = name == serving
        line = {"color": FORECAST, "width": 2.8} if serves else {
            "color": (NEUTRAL, UP, DOWN)[others % 3], "width": 1.8, "dash": _DASHES[(others // 3) % len(_DASHES)],
        }  # fmt: skip
        others += not serves
        figure.add_trace(
            go.Scatter(
                x=part.round_time,
                y=part.weight,
                mode="lines" if len(part) > 1 else "markers",
                name=f"{name} (serves)" if serves else str(name),
                line=line,
                hovertemplate="%{y:.3f}",
            )
        )
    return figure
