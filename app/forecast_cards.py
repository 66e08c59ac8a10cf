"""A forecast as a card: the expected candle, its prediction interval, the model and the reason it serves.

The percentages are against the last close: the close of the candle that ends when the forecast's candle opens.
"""

from __future__ import annotations

import json
from html import escape

import pandas as pd

from app import calls, formats, limits
from app.today_rows import Scale


def percent_of(value: float, last_close: float) -> float:
    """A price as percent above (+) or below (-) the last close."""
    return 100 * (value / last_close - 1)


def _bar(percents: dict[str, float], scale: Scale, may_call: bool) -> str:
    """The prediction interval and the expected range on the scale of all cards, its marks named under it."""
    at = {name: scale.at(value) for name, value in percents.items()}
    dot = f'<i class="dot" style="left:{at["close"]:.1f}%"></i>' if may_call else ""
    reach = formats.signed_percent(scale.reach, 1)
    least = formats.signed_percent(-scale.reach, 1)
    return (
        '<div class="cw-bar">'
        '<i class="axis"></i>'
        f'<i class="interval" style="left:{at["band_low"]:.1f}%;width:{at["band_high"] - at["band_low"]:.1f}%"></i>'
        f'<i class="body" style="left:{at["low"]:.1f}%;width:{at["high"] - at["low"]:.1f}%"></i>'
        f'<i class="last" style="left:50%"></i>{dot}</div>'
        f'<div class="cw-scale"><span>{least}</span><span>last close</span><span>{reach}</span></div>'
    )


def _head(row: pd.Series, percents: dict[str, float]) -> str:
    """The expected range: the one number that can be forecast."""
    width = formats.percent(percents["high"] - percents["low"], 2)
    prices = f"{formats.price(row.low)} {formats.DASH} {formats.price(row.high)}"
    return f'<span class="pct flat">↕ {width}</span><span class="px">{prices}</span>'


def card_html(
    row: pd.Series, label: str, exchange_time: str | None, scale: Scale, may_call: bool, signals: str = ""
) -> str:
    """One forecast as a card.

    Args:
        row: a forecast joined with its series.
        label: market and timeframe.
        exchange_time: ISO.
        scale: that of all cards.
        may_call: whether the serving model may call a direction, see `app.calls`.
        signals: of `app.signal_texts.of_candle`; empty where there are none.
    """
    percents = {
        name: percent_of(row[name], row.last_close) for name in ("high", "low", "close", "band_low", "band_high")
    }
    call, tone = calls.close_call(percents["close"], may_call)
    name, _, rest = label.partition(" · ")
    chip = "baseline serves" if row.is_baseline else escape(formats.name(row.model))
    kind = "" if row.is_baseline else " model"
    late = ""
    if formats.is_true(row.late):
        late = '<span class="cw-chip late" title="issued after its candle had opened; never counted">late</span>'
    closed = exchange_time and formats.iso_moment(exchange_time) >= formats.moment(row.target_close_time)
    past = '<span class="cw-chip late" title="the next forecast is due">closed</span>' if closed else ""
    cells = "".join(
        f"<div><span>{title}</span>{formats.signed_percent(percents[key])}</div>"
        for title, key in (("Expected low", "low"), ("Expected high", "high"))
    )
    interval = f"{formats.price(row.band_low)} {formats.DASH} {formats.price(row.band_high)}"
    return (
        f'<div class="cw-card"><div class="cw-head"><span class="sym">{escape(name)}</span>'
        f'<span class="cw-chip">{escape(rest)}</span>{late}{past}'
        f'<span class="cw-chip cw-push{kind}">{chip}</span></div>'
        f'<div class="cw-close">{_head(row, percents)}</div>'
        f"{_bar(percents, scale, tone != 'none')}"
        f'<div class="cw-three">{cells}<div class="call {tone}">{call}</div></div><div class="cw-foot">'
        f"{formats.share(row.band_level)} interval <b>{interval}</b>"
        f"{_alarm(row)}"
        f"<br>Candle <b>{formats.span(row.target_open_time, row.target_close_time)}</b><br>{_why(row)}"
        f"{'<br>' if signals else ''}{signals}</div></div>"
    )


def _alarm(row: pd.Series) -> str:
    """The alarm of a series whose prediction interval does not hold; empty without one."""
    if not formats.is_true(row.band_alarm):
        return ""
    words = "too narrow" if row.band_coverage < 0.8 else "too wide"
    return (
        f'<br><b class="down">Alarm: the interval is {words}</b>, it held {formats.share(row.band_coverage)} of '
        f"{formats.count(row.band_forecasts)} times"
    )


def _why(row: pd.Series) -> str:
    if row.is_baseline and row.state == "retired":
        reason = "" if formats.is_missing(row.reason) else f": {escape(formats.stored(row.reason))}"
        return f"Its champion was retired, baseline {escape(formats.name(row.baseline))} serves{reason}"
    if row.is_baseline:
        reason = "" if formats.is_missing(row.reason) else f": {escape(formats.stored(row.reason))}"
        return f"Baseline {escape(formats.name(row.baseline))} serves{reason}"
    if not row.live_forecasts:
        return "No live score yet"
    if words := limits.few(row.live_forecasts):
        return f"Live skill: {words}"
    return f"Live skill <b>{formats.skill(row.live_skill)}</b> over {formats.count(row.live_forecasts)} forecasts"


def other_intervals(row: pd.Series) -> str:
    """The prediction intervals of the other levels, as HTML; empty where the forecast has none."""
    try:
        by_level = sorted((float(level), bounds) for level, bounds in json.loads(row.bands).items())
        return "".join(
            f" &nbsp;·&nbsp; {formats.share(level)} interval "
            f"<b>{formats.price(low)} {formats.DASH} {formats.price(high)}</b>"
            for level, (low, high) in by_level
            if level != row.band_level
        )
    except (TypeError, ValueError, AttributeError):
        return ""
