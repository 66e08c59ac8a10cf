"""Figures of effects: ranked shares with their intervals, and the skill of the cases by value of a factor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures import new_figure
from app.theme import DOWN, FORECAST, NEUTRAL, UP

#: Skills below this, in percent, are drawn at the edge: one very bad case must not squeeze the others.
LOWEST_SKILL = -15.0
_JITTER = 0.22


def ranked_effects(effects: pd.DataFrame, chosen: str | None) -> go.Figure:
    """Share of the skill's variance per factor with its 90 % interval, the largest on top.

    Args:
        effects: factor, importance, lower, upper (shares), n, n_failed; by rank.
        chosen: the factor that is shown below.
    """
    rows = effects.reset_index(drop=True)
    figure = new_figure(60 + 30 * len(rows), legend=False)
    clear = rows.lower > 0
    colours = np.where(rows.factor == chosen, FORECAST, np.where(clear, UP, NEUTRAL))
    figure.add_trace(
        go.Bar(
            x=100 * rows.importance,
            y=rows.index,
            orientation="h",
            marker={"color": colours, "pattern": {"shape": ["" if sure else "/" for sure in clear]}},
            error_x={
                "type": "data", "symmetric": False, "array": 100 * (rows.upper - rows.importance),
                "arrayminus": 100 * (rows.importance - rows.lower), "color": NEUTRAL, "thickness": 1.6, "width": 4,
            },
            customdata=np.stack([rows.factor, 100 * rows.lower, 100 * rows.upper, rows.n, rows.n_failed], axis=1),
            hovertemplate="%{customdata[0]}: %{x:.1f} % (90 %: %{customdata[1]:.1f} to %{customdata[2]:.1f})"
            "<br>%{customdata[3]:,} tested, %{customdata[4]:,} failed<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(rows.index), ticktext=list(rows.factor), range=[len(rows) - 0.4, -0.6], showgrid=False
    )
    figure.update_xaxes(ticksuffix=" %")
    figure.update_layout(hovermode="closest")
    return figure


def skill_by_value(cases: pd.DataFrame, values: pd.DataFrame) -> go.Figure:
    """Every tested case as a dot by its value, with the mean and its 90 % interval; a mean of few cases is hollow.

    Args:
        cases: value, skill (percent).
        values: value, mean_skill, lower, upper (percent), n, is_few; in the order of the axis.
    """
    figure = new_figure(380)
    place = {value: number for number, value in enumerate(values.value)}
    at = cases.value.map(place)
    # The same dots at the same places on every visit.
    shift = np.random.default_rng(0).uniform(-_JITTER, _JITTER, len(cases))
    figure.add_trace(
        go.Scatter(
            x=at + shift,
            y=cases.skill.clip(lower=LOWEST_SKILL),
            mode="markers",
            name="Test case",
            marker={"color": NEUTRAL, "size": 6, "opacity": 0.45},
            customdata=cases.skill,
            hovertemplate="%{customdata:+.2f} %<extra></extra>",
        )
    )
    known = values[values.mean_skill.notna()]
    for few, symbol, name in ((False, "diamond", "Mean, 90 % interval"), (True, "diamond-open", "Mean of few cases")):
        part = known[known.is_few.astype(bool) == few]
        if part.empty:
            continue
        mean = part.mean_skill.clip(lower=LOWEST_SKILL)
        figure.add_trace(
            go.Scatter(
                x=part.value.map(place),
                y=mean,
                mode="markers",
                name=name,
                marker={"color": UP, "size": 12, "symbol": symbol, "line": {"width": 2, "color": UP}},
                error_y={
                    "type": "data", "symmetric": False, "array": (part.upper - part.mean_skill).fillna(0.0),
                    "arrayminus": (part.mean_skill - part.lower).fillna(0.0), "color": UP, "thickness": 2, "width": 6,
                },
                customdata=part[["mean_skill", "n"]],
                hovertemplate="mean %{customdata[0]:+.2f} % of %{customdata[1]:,} cases<extra></extra>",
            )
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": DOWN, "width": 1.5, "dash": "dash"})
    labels = [f"{value}<br>n = {n:,}" for value, n in zip(values.value, values.n, strict=True)]
    figure.update_xaxes(tickvals=list(place.values()), ticktext=labels, showgrid=False)
    figure.update_yaxes(ticksuffix=" %", title="Skill")
    figure.update_layout(hovermode="closest")
    return figure
