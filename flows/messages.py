"""Texts of notices: one template per kind of event, with named fields in the form of `str.format`.

The settings replace templates under ``[notices.templates]``. A template is checked when the settings are read, by
filling it with sample values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter

#: Value of a field of an event; None where it is not known.
FieldValue = str | int | float | bool | None
Fields = Mapping[str, FieldValue]

#: Kinds that are events of the data; each row is one.
DATA_KINDS = ("score_band", "transaction")
#: Kinds that are alarms: one message when it is raised, one of the template `<kind>_over` when it is over.
ALARM_KINDS = ("silence", "stale", "chain", "coverage")
KINDS = (*DATA_KINDS, *ALARM_KINDS)
OVER = "_over"

_MARKET: dict[str, FieldValue] = {"exchange": "binance", "symbol": "BTC/USDT"}
_SERIES: dict[str, FieldValue] = {**_MARKET, "timeframe": "1h"}
_SIGNAL: dict[str, FieldValue] = {**_SERIES, "signal": "trend", "time": "2024-01-01 12:00", "price": 43210.5}
_SILENCE: dict[str, FieldValue] = {"since": "2024-01-01 12:00", "hours": 3.5, "limit_hours": 3.0}
_STALE: dict[str, FieldValue] = {
    **_MARKET,
    "timeframes": "1h, 4h",
    "last_close": "2024-01-01 12:00",
    "status": "failed",
    "note": "",
}
_CHAIN: dict[str, FieldValue] = {
    "chain": "forecasts",
    "records": 1200,
    "problem": "forecasts/0000000007.json is the first bad record",
}
_COVERAGE: dict[str, FieldValue] = {**_SERIES, "level": 0.8, "coverage": 0.62, "forecasts": 120, "note": ""}

#: Template -> the fields that it may use, with a sample value of each.
SAMPLES: dict[str, Fields] = {
    "score_band": {
        **_SIGNAL, "score": 0.312, "side": 1, "band": 2, "previous_band": 1, "signs": "▲▲", "direction": "rises",
    },
    "transaction": {
        **_SIGNAL, "side": "buy", "quantity": 0.0231, "fee": 0.998, "reason": "signal", "balance": 10012.4,
    },
    "silence": _SILENCE,
    "silence_over": _SILENCE,
    "stale": _STALE,
    "stale_over": _STALE,
    "chain": _CHAIN,
    "chain_over": _CHAIN,
    "coverage": _COVERAGE,
    "coverage_over": _COVERAGE,
}  # fmt: skip

#: The templates that serve where the settings name none.
DEFAULTS = {
    "score_band": "{symbol} {timeframe} {signal}: {price:,.8g} {signs} {score:+.3f} ({direction})",
    "transaction": (
        "{symbol} {timeframe} {signal}: paper {side} {quantity:.6g} at {price:,.8g}, fee {fee:.4g}, "
        "balance {balance:,.2f} ({reason})"
    ),
    "silence": (
        "ALARM pipeline silent: nothing new was published since {since} UTC, {hours:.1f} h (limit {limit_hours:g} h). "
        "Look at `candleworks up` and its logs."
    ),
    "silence_over": "ALL CLEAR pipeline: it publishes again.",
    "stale": "ALARM {symbol} on {exchange}: no new candles since {last_close} UTC ({timeframes}; load: {status}).",
    "stale_over": "ALL CLEAR {symbol} on {exchange}: its candles are up to date again. {note}",
    "chain": "ALARM chain {chain} does not verify after {records} records: {problem}",
    "chain_over": "ALL CLEAR chain {chain}: its {records} records verify again.",
    "coverage": (
        "ALARM {symbol} {timeframe}: the {level:.0%} interval covered {coverage:.0%} of {forecasts} live candles. "
        "Do not rely on its width."
    ),
    "coverage_over": (
        "ALL CLEAR {symbol} {timeframe}: the {level:.0%} interval covered {coverage:.0%} of {forecasts} live "
        "candles. {note}"
    ),
}


class _Missing(str):
    """Value of a field that is not known: a dash, with any format."""

    def __new__(cls) -> _Missing:
        return super().__new__(cls, "-")

    def __format__(self, _: str) -> str:
        return str(self)


def render(name: str, templates: Mapping[str, str], fields: Fields) -> str:
    """The text of an event in one line.

    Args:
        name: of the template, a key of `SAMPLES`.
        templates: those of the settings; `DEFAULTS` serve for the others.
        fields: of the event; fields that an earlier version did not record are shown as a dash.
    """
    values = {key: _Missing() if fields.get(key) is None else fields[key] for key in SAMPLES[name]}
    return " ".join(templates.get(name, DEFAULTS[name]).format_map(values).split())


def template_problem(templates: Mapping[str, str]) -> str:
    """The first fault of templates that a user has written, with the remedy; empty if there is none."""
    return next(_problems(templates), "")


def _problems(templates: Mapping[str, str]) -> Iterator[str]:
    for name, template in templates.items():
        if name not in SAMPLES:
            yield f"unknown template {name!r}; use one of {', '.join(SAMPLES)}"
        elif problem := _template_problem(template, SAMPLES[name]):
            yield f"{name}: {problem}"


def _template_problem(template: str, samples: Fields) -> str:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        return f"{error}; write a brace of the text twice"
    for _, field, spec, _ in parts:
        if field is None:
            continue
        if field not in samples:  # also attributes, indices and fields by position, none of which are offered
            return f"unknown field {{{field}}}; use {', '.join(samples)}"
        if "{" in (spec or ""):
            return f"{{{field}}} has a field within its format; write the format itself"
    try:
        template.format_map(samples)
    except ValueError as error:
        return f"a format does not fit its field ({error}); see the Python documentation of format specifications"
    return ""
