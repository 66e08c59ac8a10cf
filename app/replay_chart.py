"""Replay of a series: a clock over its last candles, with the forecast that was sealed for each of them.

At every position the sealed interval and range of the next candle are drawn; one position on, the real candle is there
and the score counts it. All positions are frames of one figure, so neither the slider nor playing asks the server.
Drawn are sealed forecasts alone: nothing is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app import formats
from app.figures import arrange
from app.theme import DOWN, FORECAST, UP

LAST_CANDLES = 200
"""Candles of the replay at most."""
WINDOW = 40
"""Candles drawn at one position."""
SPEEDS = {"1x": 1000, "4x": 250, "16x": 62}
"""Speed -> milliseconds per candle."""


@dataclass(frozen=True)
class Step:
    """One position of the clock.

    Attributes:
        forecast: the sealed forecast that is open at this moment.
        inside, scored: how many of the forecasts before it held, and how many there are, late ones left out.
        error, baseline: sums of their squared errors.
    """

    forecast: pd.Series
    inside: int
    scored: int
    error: float
    baseline: float

    @property
    def score(self) -> str:
        """The score so far in words."""
        if not self.scored:
            return "no forecast scored yet"
        skill = formats.skill(1 - (self.error / self.baseline) ** 0.5) if self.baseline > 0 else formats.DASH
        return f"interval held {self.inside} of {self.scored}, skill so far {skill}"


def steps_of(forecasts: pd.DataFrame) -> list[Step]:
    """The positions of the clock.

    Args:
        forecasts: rows of the forecasts table of one series in order of target_open_time, the open one last.
    """
    steps = []
    inside = scored = 0
    error = baseline = 0.0
    for _, row in forecasts.iterrows():
        steps.append(Step(row, inside, scored, error, baseline))
        if formats.is_missing(row.error_pct) or formats.is_missing(row.covered) or formats.is_true(row.late):
            continue
        inside, scored = inside + bool(row.covered), scored + 1
        error, baseline = error + row.error_pct**2, baseline + row.baseline_error_pct**2
    return steps


@dataclass(frozen=True)
class _Prices:
    """Candles as columns, made once: a frame per candle takes a slice of each.

    Attributes:
        columns: x, open, high, low, close.
        opens: open times, in order.
        missed: whether the candle left its sealed interval.
    """

    columns: dict[str, list[Any]]
    opens: pd.DatetimeIndex
    missed: list[bool]

    @classmethod
    def of(cls, candles: pd.DataFrame, outside: pd.Series) -> _Prices:
        """From open_time and prices, and the times whose candle left its interval."""
        # Seven digits are enough to draw, and keep the figure small.
        columns = {
            name: [float(f"{price:.7g}") for price in candles[name]] for name in ("open", "high", "low", "close")
        }
        columns["x"] = list(candles.open_time.dt.strftime("%Y-%m-%d %H:%M"))
        return cls(columns, pd.DatetimeIndex(candles.open_time), list(candles.open_time.isin(outside)))

    def window(self, now: pd.Timestamp) -> tuple[int, int]:
        """First and last place of the candles that had opened before a time, at most `WINDOW` of them."""
        end = int(self.opens.searchsorted(now))
        return max(0, end - WINDOW), end


def _bar(
    row: pd.Series, edges: tuple[str, str], width: float, name: str, look: tuple[float, float]
) -> dict[str, object]:
    """A forecast as a floating bar from one column to another; width in milliseconds, look: opacity and line width."""
    low, high = (float(row[edge]) for edge in edges)
    return {
        "type": "bar", "x": [f"{row.target_open_time:%Y-%m-%d %H:%M}"], "y": [high - low], "base": [low],
        "width": width, "name": name, "hoverinfo": "skip",
        "marker": {"color": FORECAST, "opacity": look[0], "line": {"color": FORECAST, "width": look[1]}},
    }  # fmt: skip


def _traces(step: Step, prices: _Prices, width: float) -> list[dict[str, object]]:
    """The traces of one position, always the same four in the same order."""
    start, end = prices.window(step.forecast.target_open_time)
    past = {name: column[start:end] for name, column in prices.columns.items()}
    missed = [place for place in range(start, end) if prices.missed[place]]
    return [
        {
            "type": "candlestick", "name": "Candles", **past,
            "increasing": {"line": {"color": UP, "width": 1}, "fillcolor": UP},
            "decreasing": {"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
        },
        _bar(step.forecast, ("band_low", "band_high"), 0.9 * width, "Sealed interval", (0.25, 1.5)),
        _bar(step.forecast, ("low", "high"), 0.5 * width, "Sealed range", (0.75, 0)),
        {
            "type": "scatter", "x": [prices.columns["x"][place] for place in missed],
            "y": [prices.columns["high"][place] for place in missed], "mode": "markers",
            "name": "Outside its interval", "marker": {"symbol": "x", "size": 8, "color": DOWN},
        },
    ]  # fmt: skip


def _title(step: Step) -> dict[str, Any]:
    late = ", late, not counted" if formats.is_true(step.forecast.late) else ""
    text = f"clock {formats.moment(step.forecast.target_open_time)} UTC{late}: {step.score}"
    return {"text": text, "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.99}


def replay(forecasts: pd.DataFrame, candles: pd.DataFrame) -> go.Figure:
    """The figure with a frame per forecast, a slider and buttons.

    Args:
        forecasts: rows of the forecasts table of one series in order of target_open_time, at least one.
        candles: open_time, open, high, low, close of the same time and of `WINDOW` candles before it.
    """
    candles = candles.dropna(subset=["open", "high", "low", "close"])
    outside = forecasts[forecasts.covered == False].target_open_time  # noqa: E712 - null means not scored
    columns = _Prices.of(candles, outside)
    first = forecasts.iloc[0]
    length = first.target_close_time - first.target_open_time
    width = length.total_seconds() * 1000
    steps = steps_of(forecasts)
    frames = [
        {
            "name": str(number), "data": _traces(step, columns, width),
            "layout": {"title": _title(step), "xaxis": {"range": _range(step, length)}},
        }
        for number, step in enumerate(steps)
    ]  # fmt: skip
    # Plotly's check of each of some thousand parts takes seconds; a test checks them instead.
    figure = arrange(go.Figure(data=frames[0]["data"], frames=frames, _validate=False), 460)
    figure.update_layout(
        title=_title(steps[0]), hovermode="closest", xaxis_rangeslider_visible=False, barmode="overlay",
        margin={"t": 64, "b": 4}, sliders=[_slider(steps)], updatemenus=[_buttons()],
    )  # fmt: skip
    figure.update_xaxes(range=_range(steps[0], length))
    prices = [forecasts.band_low.min(), forecasts.band_high.max(), candles.low.min(), candles.high.max()]
    low, high = min(prices), max(prices)
    figure.update_yaxes(side="right", range=[low - 0.03 * (high - low), high + 0.03 * (high - low)])
    return figure


def _range(step: Step, length: pd.Timedelta) -> list[str]:
    now = step.forecast.target_open_time
    return [f"{edge:%Y-%m-%d %H:%M}" for edge in (now - (WINDOW + 1) * length, now + 2 * length)]


def _animation(milliseconds: int) -> dict[str, Any]:
    return {
        "frame": {"duration": milliseconds, "redraw": True}, "transition": {"duration": 0}, "mode": "immediate",
        "fromcurrent": True,
    }  # fmt: skip


def _slider(steps: list[Step]) -> dict[str, Any]:
    return {
        "active": 0, "pad": {"t": 34}, "currentvalue": {"visible": False}, "ticklen": 0, "minorticklen": 0,
        "steps": [
            {"label": "", "method": "animate", "args": [[str(number)], _animation(0) | {"fromcurrent": False}]}
            for number in range(len(steps))
        ],
    }  # fmt: skip


def _buttons() -> dict[str, Any]:
    buttons = [
        {"label": f"▶ {name}", "method": "animate", "args": [None, _animation(pause)]} for name, pause in SPEEDS.items()
    ]
    stop = {"label": "❚❚", "method": "animate", "args": [[None], _animation(0)]}
    return {
        "type": "buttons", "direction": "left", "x": 1, "xanchor": "right", "y": 1.14, "pad": {"t": 0, "r": 0},
        "buttons": [*buttons, stop], "showactive": False,
    }  # fmt: skip
