"""Numbers and times as text. A missing value is a dash."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import pandas as pd

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def is_missing(value: Any) -> bool:
    """Whether a cell of a table is null (None, NaN, NaT)."""
    return bool(value is None or pd.isna(value))


def is_true(value: Any) -> bool:
    """Whether a cell of a table is true; null is not."""
    return not is_missing(value) and bool(value)


def price(value: Any) -> str:
    """A price with about five significant digits, at least two decimals.

    >>> price(64123.456), price(3.456789), price(0.0000123456)
    ('64,123.46', '3.4568', '0.000012346')
    >>> price(3.1e-11)
    '0.000000000031000'
    """
    if is_missing(value):
        return DASH
    digits = 2 if value == 0 else min(17, max(2, 4 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{digits}f}"


def signed_percent(value: Any, digits: int = 2) -> str:
    """A number that is already in percent, with its sign.

    >>> signed_percent(0.4242), signed_percent(0.001)
    ('+0.42 %', '0.00 %')
    """
    if is_missing(value):
        return DASH
    text = f"{abs(value):.{digits}f}"
    sign = "" if float(text) == 0 else ("+" if value > 0 else _MINUS)
    return f"{sign}{text} %"


def skill(value: Any) -> str:
    """A skill (a fraction) as signed percent with one decimal.

    >>> skill(0.0741)
    '+7.4 %'
    """
    return DASH if is_missing(value) else signed_percent(100 * value, 1)


def share(value: Any, digits: int = 0) -> str:
    """A fraction as percent without a sign."""
    return DASH if is_missing(value) else f"{100 * value:.{digits}f} %"


def percent(value: Any, digits: int = 3) -> str:
    """An error that is already in percent."""
    return DASH if is_missing(value) else f"{value:.{digits}f} %"


def count(value: Any) -> str:
    """A whole number with thousands separated."""
    return DASH if is_missing(value) else f"{int(value):,}"


def decimal(value: Any, digits: int = 2) -> str:
    """A plain number."""
    return DASH if is_missing(value) else f"{value:,.{digits}f}"


def signed(value: Any, digits: int = 2) -> str:
    """A plain number with its sign.

    >>> signed(0.314), signed(0.001)
    ('+0.31', '0.00')
    """
    return signed_percent(value, digits).removesuffix(" %")


def moment(value: Any) -> str:
    """A time (UTC, naive as stored) to the minute."""
    return DASH if is_missing(value) else pd.Timestamp(value).strftime("%Y-%m-%d %H:%M")


def span(start: Any, end: Any) -> str:
    """A candle's time: the day once where start and end share it."""
    if is_missing(start) or is_missing(end):
        return DASH
    first, last = pd.Timestamp(start), pd.Timestamp(end)
    if last - first >= pd.Timedelta(days=1) and first == first.normalize():
        return first.strftime("%a %d %b %Y")
    return f"{first.strftime('%d %b %H:%M')}{DASH}{last.strftime('%H:%M')} UTC"


def iso_moment(text: str | None) -> str:
    """An ISO time of a JSON file to the minute, as UTC."""
    if not text:
        return DASH
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return DASH
    return (time.astimezone(UTC) if time.tzinfo else time).strftime("%Y-%m-%d %H:%M")


def duration(seconds: Any) -> str:
    """A length of time in its two largest units.

    >>> duration(4380), duration(0.42), duration(95)
    ('1 h 13 min', '0.42 s', '1 min 35 s')
    """
    if is_missing(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    for size, unit, small, small_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {small_unit}"
    return f"{whole} s"


SMALLEST_P = 0.001
"""Smallest p-value that is written; below it, "p < 0.001"."""


def stored(text: Any) -> str:
    """A sentence of the store in the formats of the pages: a space before the percent sign, no p below `SMALLEST_P`.

    >>> stored("beats har_range by +0.86% (p < 0.0001)")
    'beats har range by +0.86 % (p < 0.001)'
    """
    if is_missing(text):
        return DASH
    spaced = re.sub(r"(\d)%", r"\1 %", str(text))
    signed_text = re.sub(r"(?<![\w.])-(?=\d+(\.\d+)? %)", _MINUS, spaced)
    small = re.sub(r"p (?:<|=) 0\.000\d*", f"p < {SMALLEST_P:g}", signed_text)
    return re.sub(r"\b[a-z]+(?:_[a-z0-9]+)+\b", lambda match: name(match[0]), small)


def name(value: Any) -> str:
    """A name of the code, such as that of a model, as words.

    >>> name("ewma_range"), name("lightgbm"), name("rsi_14")
    ('ewma range', 'lightgbm', 'rsi 14')
    """
    return DASH if is_missing(value) else str(value).replace("_", " ")


def contender(stored_name: str) -> str:
    """A short name of a contender: the model and the first six characters of its case key.

    >>> contender("ewma_ridge 0123456789abcdef"), contender("mean_range")
    ('ewma ridge 012345', 'mean range')
    """
    model, _, key = stored_name.partition(" ")
    return f"{name(model)} {key[:6]}".strip()


def in_markdown(text: str) -> str:
    """Escape a text, such as the name of a market, for Markdown.

    Text between two dollars would become a formula; a colon starts icons and colours.

    >>> in_markdown("BTC/USDT · 1h"), in_markdown("$MYRO/USDT:USDT · 1h")
    ('BTC/USDT · 1h', '\\\\$MYRO/USDT\\\\:USDT · 1h')
    """
    return re.sub(r"([\\`*_{}\[\]()<>#$:~|])", r"\\\1", text)
