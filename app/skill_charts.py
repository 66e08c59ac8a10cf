"""Figures of skills against the baseline: with their intervals, of all cases, and of champions at every stage.

Skills arrive in percent. A skill is coloured as a win only where its row says so.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app import formats
from app.figures import new_figure
from app.theme import DOWN, FORECAST, GRID, NEUTRAL, UP

LOWEST_SKILL = -15.0
"""Lower edge of the axis in percent; one very bad model must not squeeze the others."""

_STATES = {
    "beats": ("beats the baseline and serves", UP, "circle"),
    "looks better": ("looks better, does not serve", UP, "circle-open"),
    "luck": ("worse, or may be luck", NEUTRAL, "circle-open"),
    "unknown": ("whether it is luck is not yet computed", NEUTRAL, "square-open"),
    "refuted": ("refuted on the holdout", DOWN, "x"),
}


def _baseline_at_zero(figure: go.Figure) -> None:
    figure.add_vline(x=0, line={"color": DOWN, "width": 1.5, "dash": "dash"})
    figure.add_annotation(x=0, y=1, yref="paper", yanchor="bottom", text="baseline", showarrow=False, font={"size": 12})
    figure.update_layout(hovermode="closest")


def _rows_on_y(figure: go.Figure, labels: pd.Series) -> None:
    """Rows from the top down, by number: two champions may have the same name."""
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=list(labels), range=[len(labels) - 0.4, -0.6], showgrid=False
    )


def skill_intervals(rows: pd.DataFrame) -> go.Figure:
    """Skills with their intervals, one row below the other; only a win is solid, and what may be luck is grey.

    Args:
        rows: label, skill, lower, upper, holdout, holdout_lower, holdout_upper (percent; null where unknown), state
            (of `app.evidence.standing`), detail. A refuted case is drawn at its holdout.
    """
    figure = new_figure(70 + 40 * len(rows))
    rows = rows.reset_index(drop=True)
    refuted = rows.state == "refuted"
    rows.loc[refuted, ["skill", "lower", "upper"]] = rows.loc[
        refuted, ["holdout", "holdout_lower", "holdout_upper"]
    ].to_numpy()
    shown = rows.skill.clip(lower=LOWEST_SKILL)
    for state, (name, colour, symbol) in _STATES.items():
        part = rows[rows.state == state]
        if part.empty:
            continue
        at = shown[part.index]
        figure.add_trace(
            go.Scatter(
                x=at,
                y=part.index,
                mode="markers",
                name=name,
                marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
                error_x={
                    "type": "data", "symmetric": False, "array": part.upper.clip(lower=LOWEST_SKILL) - at,
                    "arrayminus": at - part.lower.clip(lower=LOWEST_SKILL), "color": colour, "thickness": 2.5,
                    "width": 5,
                },
                customdata=part[["skill", "lower", "upper", "detail"]],
                hovertemplate="%{customdata[0]:+.1f} % (90 %: %{customdata[1]:+.1f} to %{customdata[2]:+.1f})"
                "<br>%{customdata[3]}<extra></extra>",
            )
        )  # fmt: skip
    _add_holdouts(figure, rows[~refuted])
    _baseline_at_zero(figure)
    _rows_on_y(figure, rows.label)
    low = min(rows[["skill", "lower", "holdout_lower", "holdout"]].min().min(), 0.0)
    high = max(rows[["skill", "upper", "holdout_upper", "holdout"]].max().max(), 0.0)
    figure.update_xaxes(ticksuffix=" %", range=[max(low, LOWEST_SKILL) - 1.0, high + 1.0])
    figure.update_layout(legend={"y": -0.12 - 2.4 / (70 + 40 * len(rows)), "yanchor": "top"}, margin={"t": 26, "b": 40})
    return figure


def _add_holdouts(figure: go.Figure, rows: pd.DataFrame) -> None:
    """The opened holdouts, a little under the skills of the selection."""
    opened = rows[rows.holdout.notna()]
    if opened.empty:
        return
    at = opened.holdout.clip(lower=LOWEST_SKILL)
    figure.add_trace(
        go.Scatter(
            x=at,
            y=opened.index + 0.22,
            mode="markers",
            name="on its opened holdout",
            marker={"color": FORECAST, "size": 9, "symbol": "diamond"},
            error_x={
                "type": "data", "symmetric": False, "array": (opened.holdout_upper - at).fillna(0),
                "arrayminus": (at - opened.holdout_lower.clip(lower=LOWEST_SKILL)).fillna(0), "color": FORECAST,
                "thickness": 1.6, "width": 3,
            },
            customdata=opened[["holdout", "holdout_lower", "holdout_upper"]],
            hovertemplate="holdout %{customdata[0]:+.1f} % (about 90 %: %{customdata[1]:+.1f} to "
            "%{customdata[2]:+.1f})<extra></extra>",
        )
    )  # fmt: skip


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
                y=chosen.model.map(formats.name),
                mode="markers",
                marker={"color": colour, "size": size, "opacity": 0.75, "symbol": symbol},
                customdata=chosen[["rank", "skill_percent"]],
                hovertemplate="rank %{customdata[0]}: %{customdata[1]:+.1f} %<extra>%{y}</extra>",
            )
        )
    _baseline_at_zero(figure)
    figure.update_layout(margin={"t": 24})
    # Keep the baseline in view even if every case is better.
    low = min(max(cases.skill_percent.min(), LOWEST_SKILL), 0.0)
    high = max(cases.skill_percent.max(), 0.0)
    figure.update_xaxes(ticksuffix=" %", range=[low - 2.0, high + 2.0])
    figure.update_yaxes(categoryorder="array", categoryarray=list(order))
    return figure


def winners_curse(champions: pd.DataFrame) -> go.Figure:
    """Selection, holdout and live skill of each champion on one line; past champions are pale.

    Args:
        champions: label, selection, holdout, live (percent; null where not measured), is_current.
    """
    figure = new_figure(110 + 46 * len(champions))
    champions = champions.reset_index(drop=True)
    for number, row in champions.iterrows():
        known = row[["selection", "holdout", "live"]].dropna()
        figure.add_trace(
            go.Scatter(
                x=[known.min(), known.max()],
                y=[number, number],
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
        for current, part in champions.groupby("is_current"):
            figure.add_trace(
                go.Scatter(
                    x=part[column],
                    y=part.index,
                    mode="markers",
                    name=name if current else f"{name}, past",
                    opacity=1.0 if current else 0.4,
                    showlegend=bool(current or not champions.is_current.any()),
                    marker={"color": colour, "size": 13, "symbol": symbol, "line": {"width": 2.5, "color": colour}},
                    customdata=part[["label"]],
                    hovertemplate="%{customdata[0]}: %{x:+.1f} %",
                )
            )
    figure.add_vline(x=0, line={"color": DOWN, "width": 1.5, "dash": "dash"})
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %")
    _rows_on_y(figure, champions.label)
    return figure


def live_skill_over_time(rolling: pd.DataFrame, levels: dict[str, float]) -> go.Figure:
    """Live skill of a champion over a moving window, with the skill at selection, on the holdout and in the review.

    Args:
        rolling: target_open_time, skill (percent).
        levels: name -> skill in percent of the selection, the holdout, the review.
    """
    figure = new_figure(320)
    figure.add_trace(
        go.Scatter(
            x=rolling.target_open_time,
            y=rolling.skill,
            mode="lines",
            name="Live",
            line={"color": FORECAST, "width": 2.4},
            hovertemplate="%{y:+.1f} %",
        )
    )
    ends = [rolling.target_open_time.iloc[0], rolling.target_open_time.iloc[-1]]
    looks = {
        "Selection": (NEUTRAL, "dot"),
        "Holdout": (UP, "dashdot"),
        "Review": (UP, "dot"),
        "Baseline": (DOWN, "dash"),
    }
    for name, level in (levels | {"Baseline": 0.0}).items():
        colour, dash = looks[name]
        figure.add_trace(
            go.Scatter(
                x=ends,
                y=[level, level],
                mode="lines",
                name=name,
                line={"color": colour, "width": 1.6, "dash": dash},
                hovertemplate="%{y:+.1f} %",
            )
        )
    figure.update_yaxes(ticksuffix=" %")
    return figure
