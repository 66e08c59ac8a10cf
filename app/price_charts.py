"""Figures of candles and forecasts. Times are UTC, naive."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.figures import new_figure
from app.formats import price
from app.theme import DOWN, FORECAST, NEUTRAL, UP

_TRANSLUCENT = {UP: "rgba(47,134,207,0.45)", DOWN: "rgba(219,110,30,0.45)"}


#: Minimal width of the axis in candles: two candles must not fill the page.
FEWEST_SLOTS = 24


def _add_forecast_candle(figure: go.Figure, forecast: pd.Series) -> None:
    start, end = forecast.target_open_time, forecast.target_close_time
    length = end - start
    level = f"{forecast.band_level:.0%}".replace("%", " %")
    # Candles are centred on their open time; the interval is wider than its candle so that it is visible on a phone.
    left, right = start - 0.8 * length, start + 0.8 * length
    figure.add_shape(
        type="rect", x0=left, x1=right, y0=forecast.band_low, y1=forecast.band_high, fillcolor=FORECAST, opacity=0.22,
        line_width=0, layer="below",
    )  # fmt: skip
    for edge, position in ((forecast.band_low, "middle"), (forecast.band_high, "middle")):
        figure.add_shape(type="line", x0=left, x1=right, y0=edge, y1=edge, line={"color": FORECAST, "width": 2.5})
        figure.add_annotation(
            x=right, y=edge, text=price(edge), showarrow=False, xanchor="left", xshift=3, yanchor=position,
            font={"size": 12},
        )  # fmt: skip
    figure.add_trace(
        go.Candlestick(
            x=[start],
            open=[forecast.open],
            high=[forecast.high],
            low=[forecast.low],
            close=[forecast.close],
            name="Forecast candle",
            increasing={"line": {"color": FORECAST, "width": 2.5}, "fillcolor": "rgba(0,0,0,0)"},
            decreasing={"line": {"color": FORECAST, "width": 2.5}, "fillcolor": FORECAST},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square", "size": 11, "color": FORECAST, "opacity": 0.35},
            name=f"{level} prediction interval",
        )
    )


def candles_with_forecast(candles: pd.DataFrame, forecast: pd.Series | None) -> go.Figure:
    """The last candles, the forecast candle after them and its joint prediction interval.

    Args:
        candles: open_time, open, high, low, close; gaps are null.
        forecast: A row of the forecasts table; None if none was issued.
    """
    # A gap has no prices and stays empty on the time axis.
    candles = candles.dropna(subset=["open", "high", "low", "close"])
    figure = new_figure(430)
    figure.add_trace(
        go.Candlestick(
            x=candles.open_time,
            open=candles.open,
            high=candles.high,
            low=candles.low,
            close=candles.close,
            name="Candles",
            increasing={"line": {"color": UP, "width": 1}, "fillcolor": UP},
            decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
        )
    )
    if forecast is not None:
        _add_forecast_candle(figure, forecast)
        length = forecast.target_close_time - forecast.target_open_time
        first = candles.open_time.min() if len(candles) else forecast.target_open_time - 10 * length
        # Room for the labels of the interval on the right of it, so that they cover no candle.
        room = 1.6 * length + 0.14 * (forecast.target_open_time - first)
        figure.update_xaxes(range=[first - length, forecast.target_open_time + room])
    figure.update_layout(hovermode="closest", xaxis_rangeslider_visible=False)
    figure.update_yaxes(side="right")
    return figure


def forecast_against_actual(scored: pd.DataFrame) -> go.Figure:
    """Past forecasts of low and high with their prediction interval, the actual candles, and misses marked.

    Args:
        scored: Scored forecasts in order of target_open_time.
    """
    figure = new_figure(380)
    times = scored.target_open_time
    edge: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=times, y=scored.band_high, showlegend=False, **edge))
    figure.add_trace(
        go.Scatter(
            x=times, y=scored.band_low, fill="tonexty", fillcolor="rgba(194,80,158,0.16)", name="Interval", **edge
        )
    )
    for name, column in (("Forecast high", "high"), ("Forecast low", "low")):
        figure.add_trace(
            go.Scatter(x=times, y=scored[column], name=name, mode="lines", line={"color": FORECAST, "width": 1.4})
        )
    figure.add_trace(
        go.Candlestick(
            x=times,
            open=scored.actual_open,
            high=scored.actual_high,
            low=scored.actual_low,
            close=scored.actual_close,
            name="Actual",
            increasing={"line": {"color": UP, "width": 1}, "fillcolor": _TRANSLUCENT[UP]},
            decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": _TRANSLUCENT[DOWN]},
        )
    )
    if 0 < len(scored) < FEWEST_SLOTS:
        length = (scored.target_close_time - scored.target_open_time).iloc[-1]
        figure.update_xaxes(range=[times.iloc[-1] - FEWEST_SLOTS * length, times.iloc[-1] + length])
    missed = scored[scored.covered == False]  # noqa: E712 - null means not scored
    figure.add_trace(
        go.Scatter(
            x=missed.target_open_time,
            y=missed.actual_high.where(missed.actual_high > missed.band_high, missed.actual_low),
            mode="markers",
            name="Outside the interval",
            marker={"symbol": "x", "size": 8, "color": NEUTRAL},
        )
    )
    late = scored[scored.late.fillna(False).astype(bool)]
    if len(late):
        figure.add_trace(
            go.Scatter(
                x=late.target_open_time,
                y=late.band_high,
                mode="markers",
                name="Late, not counted",
                marker={"symbol": "diamond-open", "size": 10, "color": DOWN, "line": {"width": 2}},
            )
        )
    figure.update_layout(hovermode="closest", xaxis_rangeslider_visible=False)
    figure.update_yaxes(side="right")
    return figure
