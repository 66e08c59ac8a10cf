"""Figures of trading: equity and drawdown, return by fee, one trade with its score. Times are UTC, naive."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app import formats
from app.figures import arrange, new_figure
from app.schema import PARTS
from app.theme import DOWN, FORECAST, GRID, NEUTRAL, UP
from app.trading_figures import PART_NAMES

#: Part -> colour and opacity of its background.
_BACKGROUNDS = {"validation": (NEUTRAL, 0.16), "holdout": (UP, 0.09), "paper": (FORECAST, 0.13)}
_WORTH = {"validation": "Validation (chose the rule)", "holdout": "Holdout", "paper": "Paper (live)"}


def drawdown(equity: pd.Series) -> pd.Series:
    """Percent (0 or below) of the equity under its highest value so far; it begins at 1."""
    return 100 * (equity / equity.cummax().clip(lower=1.0) - 1)


def _two_rows(height: int, shares: tuple[float, float]) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=shares, vertical_spacing=0.05)
    # Stated, since plotly takes the type from the first trace, and the entries of the legend alone have no times.
    return arrange(figure, height).update_xaxes(type="date")


def _add_backgrounds(figure: go.Figure, curves: pd.DataFrame) -> None:
    for part in PARTS:
        times = curves.time[curves.part == part]
        if times.empty:
            continue
        colour, opacity = _BACKGROUNDS[part]
        figure.add_vrect(
            x0=times.iloc[0], x1=times.iloc[-1], fillcolor=colour, opacity=opacity, line_width=0, layer="below",
            row="all", col=1, exclude_empty_subplots=False,
        )  # fmt: skip
        # Parts can be too narrow for a label in the picture: the legend has them.
        marker = {"symbol": "square", "size": 12, "color": colour, "opacity": 0.45}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=_WORTH[part], marker=marker))


def equity_and_drawdown(curves: pd.DataFrame, bent: bool) -> go.Figure:
    """Equity against holding, each part from 100 on, and the drawdown of both under it.

    Args:
        curves: time, part, equity, holding (at the chosen fee), published (equity at the published fee); 1.0 at the
            start of each part.
        bent: whether the chosen fee is another one than the published fee, whose curve is then drawn dotted.
    """
    figure = _two_rows(440, (0.7, 0.3))
    _add_backgrounds(figure, curves)
    lines = [
        ("holding", "Buy & hold", {"color": NEUTRAL, "width": 1.8, "dash": "dash"}),
        ("equity", "Rule", {"color": UP, "width": 2.4}),
    ]
    if bent:
        lines.insert(1, ("published", "Rule at its own fee", {"color": UP, "width": 1.4, "dash": "dot"}))
    for column, name, line in lines:
        named = False
        for part in PARTS:
            rows = curves[curves.part == part]
            if rows.empty:
                continue
            mode = "lines" if len(rows) > 1 else "markers"
            shared = {"x": rows.time, "mode": mode, "line": line, "name": name, "legendgroup": name}
            figure.add_trace(
                go.Scatter(**shared, y=100 * rows[column], showlegend=not named, hovertemplate="%{y:.1f}"), row=1, col=1
            )
            named = True
            if column != "published":
                figure.add_trace(
                    go.Scatter(**shared, y=drawdown(rows[column]), showlegend=False, hovertemplate="%{y:.1f} %"),
                    row=2, col=1,
                )  # fmt: skip
    figure.add_hline(y=100, line={"color": GRID, "width": 1.5}, row=1, col=1)
    figure.update_yaxes(side="right")
    figure.update_yaxes(ticksuffix=" %", rangemode="tozero", nticks=4, row=2, col=1)
    return figure


def return_by_fee(by_fee: pd.DataFrame, published: float | None, chosen: float, break_even: float | None) -> go.Figure:
    """Total return of one part over the fee a side, with the break-even and the chosen fee marked.

    Args:
        by_fee: fee, rule, holding (all in percent).
        published: fee of the rule in percent.
        chosen: fee of the slider in percent.
        break_even: fee in percent at which the return is 0; None where there is none.
    """
    figure = new_figure(250)
    for column, name, line in (
        ("holding", "Buy & hold", {"color": NEUTRAL, "width": 1.8, "dash": "dash"}),
        ("rule", "Rule", {"color": UP, "width": 2.4}),
    ):
        hover = "%{x:.3f} % a side: %{y:+.1f} %"
        figure.add_trace(
            go.Scatter(x=by_fee.fee, y=by_fee[column], mode="lines", name=name, line=line, hovertemplate=hover)
        )
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    if published is not None:
        figure.add_vline(x=published, line={"color": NEUTRAL, "width": 1.3, "dash": "dot"})
    figure.add_vline(x=chosen, line={"color": UP, "width": 1.5})
    if break_even is not None and 0 <= break_even <= by_fee.fee.max():
        figure.add_trace(
            go.Scatter(
                x=[break_even], y=[0.0], mode="markers", name=f"Break-even {formats.percent(break_even)}",
                marker={"symbol": "diamond", "size": 12, "color": DOWN}, hovertemplate="%{x:.3f} % a side",
            )
        )  # fmt: skip
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %", range=[0, by_fee.fee.max()], title="fee a side")
    figure.update_yaxes(ticksuffix=" %", side="right")
    return figure


def _add_fills(figure: go.Figure, trade: pd.Series, entry: float, leave: float | None) -> None:
    """Mark entry and exit of a trade at heights of the upper axis."""
    is_long = trade.side == "long"
    ends = [("Entry", trade.entry_time, trade.entry_price, entry, "triangle-up" if is_long else "triangle-down")]
    if leave is not None:
        ends.append(("Exit", trade.exit_time, trade.exit_price, leave, "x"))
    figure.add_trace(
        go.Scatter(
            x=[end[1] for end in ends], y=[end[3] for end in ends], mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": FORECAST, "width": 1.5, "dash": "dot"},
        ),
        row=1, col=1,
    )  # fmt: skip
    for name, time, price, height, symbol in ends:
        marker = {"symbol": symbol, "size": 13, "color": FORECAST, "line": {"width": 1, "color": "#FFFFFF"}}
        label = f"{name} {formats.price(price)}"
        figure.add_trace(
            go.Scatter(x=[time], y=[height], mode="markers", name=label, marker=marker, hovertemplate="%{x}"),
            row=1, col=1,
        )  # fmt: skip


def _add_score(figure: go.Figure, scores: pd.DataFrame, thresholds: tuple[float | None, float | None]) -> None:
    figure.add_trace(
        go.Scatter(
            x=scores.time, y=scores.score, mode="lines", name="Score", line={"color": NEUTRAL, "width": 1.8},
            hovertemplate="%{y:+.2f}",
        ),
        row=2, col=1,
    )  # fmt: skip
    for threshold, colour in zip(thresholds, (UP, DOWN), strict=True):
        if threshold is not None:
            figure.add_hline(y=threshold, line={"color": colour, "width": 1.3, "dash": "dash"}, row=2, col=1)
    figure.update_yaxes(nticks=4, row=2, col=1)


def trade_on_candles(
    candles: pd.DataFrame, trade: pd.Series, scores: pd.DataFrame, thresholds: tuple[float | None, float | None]
) -> go.Figure:
    """The candles around a trade with its entry and exit, and the score under them.

    Args:
        candles: open_time, open, high, low, close.
        trade: a row of trading_trades.
        scores: time, score.
        thresholds: scores from which the rule buys and sells.
    """
    figure = _two_rows(430, (0.74, 0.26))
    figure.add_trace(
        go.Candlestick(
            x=candles.open_time, open=candles.open, high=candles.high, low=candles.low, close=candles.close,
            name="Candles", showlegend=False,
            increasing={"line": {"color": UP, "width": 1}, "fillcolor": UP},
            decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
        ),
        row=1, col=1,
    )  # fmt: skip
    _add_fills(figure, trade, trade.entry_price, None if pd.isna(trade.exit_time) else trade.exit_price)
    _add_score(figure, scores, thresholds)
    figure.update_layout(hovermode="closest", xaxis_rangeslider_visible=False)
    figure.update_yaxes(side="right")
    return figure


def trade_on_equity(curve: pd.DataFrame, trade: pd.Series, thresholds: tuple[float | None, float | None]) -> go.Figure:
    """The equity around a trade, from 100 at the start of its part, where the candles are not published.

    Args:
        curve: time, equity, score; in order of time.
        trade: a row of trading_trades.
        thresholds: scores from which the rule buys and sells.
    """
    figure = _two_rows(380, (0.7, 0.3))
    equity = 100 * curve.equity
    figure.add_trace(
        go.Scatter(x=curve.time, y=equity, mode="lines", name="Equity", line={"color": UP, "width": 2.2}), row=1, col=1
    )
    left = None if pd.isna(trade.exit_time) else _height(curve, equity, trade.exit_time)
    _add_fills(figure, trade, _height(curve, equity, trade.entry_time), left)
    _add_score(figure, curve, thresholds)
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(side="right")
    return figure


def _height(curve: pd.DataFrame, equity: pd.Series, time: pd.Timestamp) -> float:
    """The last equity up to a time, else the first one."""
    row = max(int(curve.time.searchsorted(time, side="right")) - 1, 0)
    return float(equity.iloc[row]) if len(equity) else 100.0


def part_label(part: str) -> str:
    """The name of a part on a control; an unknown one stays as it is."""
    return PART_NAMES.get(part, part)
