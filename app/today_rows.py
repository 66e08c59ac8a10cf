"""The rows of the start page: per series the expected range, who serves, its skill, and how its last forecasts did.

All ranges are in percent of the last close on one scale, so that a long bar is a wide range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import pandas as pd

from app import calls, evidence, formats
from app.limits import ENOUGH_LIVE, few
from app.theme import DOWN, NEUTRAL, UP

LAST_ERRORS, LAST_HITS = 50, 20
"""Number of scored forecasts in a sparkline, and of dots."""

TODAY_SQL = """
select m.exchange, m.symbol, m.timeframe, m.timeframe_ms, f.hash, f.high, f.low, f.close, f.band_low, f.band_high,
    f.band_level, f.model as by_model, f.target_open_time, f.target_close_time, f.late,
    coalesce(c.close, f.open) as last_close, coalesce(f.case_key, '') = '' as by_baseline,
    ch.is_baseline, ch.state, ch.model, ch.baseline, ch.skill, ch.live_skill, coalesce(ch.live_forecasts, 0)
        as live_forecasts, l.skill_lower, l.skill_upper, l.spa_p_value
from markets m
left join forecasts f on f.exchange = m.exchange and f.symbol = m.symbol and f.timeframe = m.timeframe and f.is_current
left join candles c on c.exchange = f.exchange and c.symbol = f.symbol and c.timeframe = f.timeframe
    and c.close_time = f.target_open_time
left join champions ch on ch.exchange = m.exchange and ch.symbol = m.symbol and ch.timeframe = m.timeframe
left join leaderboard l on l.exchange = m.exchange and l.symbol = m.symbol and l.timeframe = m.timeframe
    and l.case_key = ch.case_key
order by m.exchange, m.symbol, m.timeframe_ms
"""

SCORED_SQL = f"""
select exchange, symbol, timeframe, target_open_time, error_pct, baseline_error_pct, covered
from forecasts where scored_at is not null and not coalesce(late, false)
qualify row_number() over (partition by exchange, symbol, timeframe order by target_open_time desc) <= {LAST_ERRORS}
order by exchange, symbol, timeframe, target_open_time
"""


@dataclass(frozen=True)
class Scale:
    """The common scale of all ranges: from -reach to +reach, in percent of the last close."""

    reach: float

    def at(self, percent: float) -> float:
        """Place on the scale, in percent of its width."""
        return 50 + 50 * percent / self.reach


def scale_of(rows: pd.DataFrame) -> Scale:
    """The smallest round scale that holds the interval of every row of `TODAY_SQL`.

    >>> scale_of(pd.DataFrame({"band_low": [99.0], "band_high": [101.3], "last_close": [100.0]})).reach
    1.5
    """
    moves = [(100 * (rows[name] / rows.last_close - 1)).abs().max() for name in ("band_low", "band_high")]
    widest = max((one for one in moves if not formats.is_missing(one)), default=1.0)
    if not widest > 0:
        return Scale(1.0)
    step = 10 ** math.floor(math.log10(widest)) / 2
    return Scale(step * math.ceil(widest / step))


def _percents(row: pd.Series) -> dict[str, float]:
    return {name: 100 * (row[name] / row.last_close - 1) for name in ("band_low", "band_high", "low", "high", "close")}


def range_html(row: pd.Series, scale: Scale, may_call: bool) -> str:
    """Expected range with its interval as a bar on the common scale, the figures under it."""
    if formats.is_missing(row.hash):
        return '<span class="dim">no forecast yet</span>'
    percents = _percents(row)
    at = {name: scale.at(value) for name, value in percents.items()}
    width = formats.percent(percents["high"] - percents["low"], 2)
    call, tone = calls.close_call(percents["close"], may_call)
    dot = f'<i class="dot" style="left:{at["close"]:.1f}%"></i>' if tone != "none" else ""
    low, high = (formats.signed_percent(percents[name], 2) for name in ("band_low", "band_high"))
    return (
        f'<div class="cw-bar"><i class="axis"></i><i class="interval" style="left:{at["band_low"]:.1f}%;'
        f'width:{at["band_high"] - at["band_low"]:.1f}%"></i><i class="body" style="left:{at["low"]:.1f}%;'
        f'width:{at["high"] - at["low"]:.1f}%"></i><i class="last" style="left:50%"></i>{dot}</div>'
        f'<div class="cap"><b>↕ {width}</b><span>{formats.share(row.band_level)} in {low} to {high}</span>'
        f'<span class="{tone} call">{call}</span></div>'
    )


def serves_html(row: pd.Series) -> str:
    """Who serves: the model, the baseline, or unknown."""
    if formats.is_missing(row.is_baseline):
        return '<span class="dim">unknown who serves</span>'
    if evidence.serves_model(row):
        return f'<span class="cw-chip model">{escape(formats.name(row.model))}</span>'
    retired = "<br><span>champion retired</span>" if row.state == "retired" else ""
    return f'<span class="cw-chip">baseline</span>{retired}'


def skill_html(row: pd.Series) -> str:
    """Skill of the serving model with its interval; the live one under it where there are enough forecasts."""
    if not evidence.serves_model(row):
        return '<span class="dim">no model, no skill</span>'
    known = evidence.is_known(row)
    interval = f"90 %: {evidence.interval_text(row)}" if known else "interval not yet computed"
    live = "" if few(row.live_forecasts) else f"<br><span>live {formats.skill(row.live_skill)}</span>"
    return f"<b>{formats.skill(row.skill)}</b> <span>{interval}</span>{live}"


def sparkline_html(scored: pd.DataFrame) -> str:
    """Lead over the baseline, added up over the last forecasts: it rises where the forecast was the better one.

    Args:
        scored: error_pct, baseline_error_pct of one series in order of time.
    """
    if len(scored) < ENOUGH_LIVE:
        return f'<span class="dim">{few(len(scored))}</span>'
    lead = (scored.baseline_error_pct - scored.error_pct).cumsum()
    low, high = min(0.0, lead.min()), max(0.0, lead.max())
    span = (high - low) or 1.0
    height = [28 - 24 * (value - low) / span for value in lead]
    points = " ".join(f"{2 + 116 * n / (len(lead) - 1):.1f},{y:.1f}" for n, y in enumerate(height))
    zero = 28 - 24 * (0 - low) / span
    rms, baseline = (float((scored[name] ** 2).mean() ** 0.5) for name in ("error_pct", "baseline_error_pct"))
    words = f"error {formats.percent(rms)}, baseline {formats.percent(baseline)}, last {len(scored)}"
    end = lead.iloc[-1]
    colour = quote(NEUTRAL if abs(end) < 1e-9 else UP if end > 0 else DOWN)
    # As an image: Streamlit takes drawings out of HTML.
    drawing = (
        "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 120 32'%3E"
        f"%3Cpath d='M2 {zero:.1f}H118' stroke='{quote(NEUTRAL)}' stroke-dasharray='3 3'/%3E"
        f"%3Cpolyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/%3E%3C/svg%3E"
    )
    return (
        f'<img src="data:image/svg+xml,{drawing}" alt="Lead over the baseline: {words}"/>'
        f'<div class="cap"><span>{formats.percent(rms, 2)} against {formats.percent(baseline, 2)}</span></div>'
    )


def dots_html(covered: pd.Series) -> str:
    """Hits of the interval as dots, oldest first: filled inside, a cross outside."""
    last = [bool(one) for one in covered.dropna().tail(LAST_HITS)]
    if not last:
        return '<span class="dim">none scored</span>'
    marks = "".join('<i class="hit"></i>' if one else '<i class="miss">✕</i>' for one in last)
    words = f"{sum(last)} of {len(last)} inside"
    return f'<div class="dots" role="img" aria-label="{words}">{marks}</div><div class="cap"><span>{words}</span></div>'


def row_html(row: pd.Series, label: str, scored: pd.DataFrame, scale: Scale, may_call: bool) -> str:
    """One row of the start page; `scored` are the rows of `SCORED_SQL` of its series."""
    cells = {
        "market": f"<b>{escape(label)}</b><br><span>{_candle(row)}</span>",
        "range": range_html(row, scale, may_call),
        "serves": serves_html(row),
        "skill": skill_html(row),
        "spark": sparkline_html(scored),
        "hits": dots_html(scored.covered),
    }
    return f'<div class="cw-today">{"".join(f"<div class={name}>{html}</div>" for name, html in cells.items())}</div>'


def _candle(row: pd.Series) -> str:
    late = ", late" if formats.is_true(row.late) else ""
    return f"{formats.span(row.target_open_time, row.target_close_time)}{late}"


def head_html(scale: Scale) -> str:
    """Names of the columns, with the ends of the common scale over the bars."""
    reach = formats.percent(scale.reach, 1 if scale.reach < 10 else 0)
    axis = f"<span>{formats.signed_percent(-scale.reach, 1)}</span><span>last close</span><span>+{reach}</span>"
    names = (
        ("market", "Market, candle"), ("range", f'<div class="scale">{axis}</div>'), ("serves", "Serves"),
        ("skill", "Skill against the baseline"), ("spark", f"Lead, last {LAST_ERRORS}"),
        ("hits", f"Interval held, last {LAST_HITS}"),
    )  # fmt: skip
    cells = "".join(f"<div class={name}>{text}</div>" for name, text in names)
    return f'<div class="cw-today head">{cells}</div>'
