"""The figure of a decision boundary: the plane of two features, what the classifier decides, and held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from app.figures import new_figure
from app.theme import DOWN, FORECAST, NEUTRAL, UP

_COLOURS = {"sell": DOWN, "hold": NEUTRAL, "buy": UP, "no": NEUTRAL}
_SHAPES = ("circle", "diamond", "square")


def _colour(name: str) -> str:
    return _COLOURS.get(name, FORECAST)


def _transparent(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def plane(cells: pd.DataFrame, points: pd.DataFrame, classes: Sequence[str], axes: tuple[str, str]) -> go.Figure:
    """Decisions over the plane; the more probable, the less transparent. Hatched: few train rows.

    Args:
        cells: x, y, decided (number of the class), probability, is_sparse, n_train.
        points: x, y, happened, decided: held-out rows.
        classes: name of each number.
        axes: names of x and y.
    """
    figure = new_figure(560)
    lowest = 1 / len(classes)
    for number, name in enumerate(classes):
        mine = cells.assign(probability=cells.probability.where(cells.decided == number))
        if mine.probability.isna().all():
            continue
        grid = mine.pivot(index="y", columns="x", values="probability")
        rows = cells.pivot(index="y", columns="x", values="n_train")
        colour = _colour(name)
        figure.add_trace(
            go.Heatmap(
                z=grid.to_numpy(), x=grid.columns, y=grid.index, zmin=lowest, zmax=1.0, showscale=False,
                colorscale=[[0, _transparent(colour, 0.12)], [1, _transparent(colour, 0.85)]],
                customdata=rows.to_numpy(), name=name,
                hovertemplate=f"{name}: %{{z:.0%}}<br>{axes[0]} %{{x:.4g}}, {axes[1]} %{{y:.4g}}"
                "<br>%{customdata} train rows around<extra></extra>",
            )
        )  # fmt: skip
    sparse = cells[cells.is_sparse.astype(bool)]
    figure.add_trace(
        go.Scatter(
            x=sparse.x, y=sparse.y, mode="markers", name="few train rows", hoverinfo="skip",
            marker={"symbol": "line-ne", "size": 9, "line": {"width": 1, "color": "rgba(24,33,47,0.5)"}},
        )
    )  # fmt: skip
    for number, name in enumerate(classes):
        mine = points[points.happened == number]
        if mine.empty:
            continue
        right = mine.decided == number
        figure.add_trace(
            go.Scatter(
                x=mine.x, y=mine.y, mode="markers", name=f"was {name}",
                marker={
                    "color": _colour(name), "size": 8, "symbol": _SHAPES[number % len(_SHAPES)],
                    "line": {"width": [0.8 if one else 2.2 for one in right], "color": "#18212F"},
                },
                customdata=[f"{name}, {'decided so' if one else f'decided {classes[int(said)]}'}"
                            for one, said in zip(right, mine.decided, strict=True)],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title=axes[0], range=[cells.x.min(), cells.x.max()], showgrid=False)
    figure.update_yaxes(title=axes[1], range=[cells.y.min(), cells.y.max()], showgrid=False)
    figure.update_layout(hovermode="closest")
    return figure
