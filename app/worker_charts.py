"""The figure of the workers: tested cases per day, stacked by machine."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from app.figures import new_figure
from app.theme import DOWN, FORECAST, NEUTRAL, UP

#: Machines with a colour and a pattern of their own; all further ones are one bar.
_LOOKS = ((UP, ""), (DOWN, "/"), (FORECAST, "x"))
OTHERS = "others"
#: Of a bar: a day, less a gap. Without it plotly draws a hairline for a single day.
_WIDTH_MS = 0.85 * 86_400_000


def cases_per_day(days: pd.DataFrame, machines: Sequence[str]) -> go.Figure:
    """Stacked bars; a day without cases has none.

    Args:
        days: day, machine, cases.
        machines: in the order of the legend.
    """
    figure = new_figure(320)
    own = list(machines[: len(_LOOKS)])
    named = days.assign(machine=days.machine.where(days.machine.isin(own), OTHERS))
    looks = [*zip(own, _LOOKS, strict=False), (OTHERS, (NEUTRAL, "."))]
    for name, (colour, pattern) in looks:
        part = named[named.machine == name].groupby("day").cases.sum()
        if part.empty:
            continue
        figure.add_trace(
            go.Bar(
                x=part.index, y=part, name=name, width=_WIDTH_MS, hovertemplate="%{y:,}",
                marker={"color": colour, "pattern": {"shape": pattern}},
            )
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    first, last = days.day.min(), days.day.max()
    day = pd.Timedelta(days=1)
    figure.update_xaxes(range=[first - 3 * day, last + 3 * day], showgrid=False)
    figure.update_yaxes(title="Tested cases")
    return figure
