"""Names of markets as ccxt writes them: BASE/QUOTE of a spot market, BASE/QUOTE:SETTLE of a perpetual.

Codes may hold more than letters and digits: $MYRO, 1000SHIB, codes with dots, codes in Chinese.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

#: Characters kept in file names. All others are percent-encoded, also "-" and "_", which separate the parts.
PLAIN = re.compile(r"[A-Za-z0-9.]")
#: Characters of a symbol: file names hold 255 bytes, and an encoded character takes up to 12.
LONGEST = 64
RESERVED = '%/\\:*?"<>|'


@dataclass(frozen=True)
class MarketName:
    """The parts of a symbol; `settle` is empty for spot markets."""

    base: str
    quote: str
    settle: str

    @staticmethod
    def of(symbol: str) -> MarketName:
        """Split a symbol; missing parts are empty."""
        pair, _, settle = symbol.partition(":")
        base, _, quote = pair.partition("/")
        return MarketName(base, quote, settle)

    @property
    def kind(self) -> Literal["spot", "linear", "inverse"]:
        """The market type, as in ccxt names: linear perpetuals settle in the quote, inverse ones in the base."""
        if not self.settle:
            return "spot"
        return "linear" if self.settle == self.quote else "inverse"


def problem(symbol: str) -> str:
    """The error in a symbol as one line; empty if it is valid."""
    if len(symbol) > LONGEST:
        return f"symbol {symbol[:LONGEST]!r}... has {len(symbol)} characters; {LONGEST} are allowed"
    shown = repr(symbol)
    if any(not letter.isprintable() or letter.isspace() for letter in symbol):
        return f"symbol {shown} holds a space or an unprintable character; take it out"
    for part, called in (("\\", "a backslash"), ("..", "two dots in a row")):
        if part in symbol:
            return f"symbol {shown} holds {called}; take that out"
    shape = re.fullmatch(r"([^/:]+)/([^/:]+)(?::([^/:]+))?", symbol)
    if shape is None or not all(any(map(str.isalnum, part)) for part in shape.groups() if part is not None):
        return (
            f"symbol {shown} is not of the form BASE/QUOTE, such as BTC/USDT, or BASE/QUOTE:SETTLE for a perpetual, "
            "such as BTC/USDT:USDT"
        )
    return ""


def file_name(symbol: str) -> str:
    """A file name, unique per symbol: BTC/USDT -> BTC-USDT, BTC/USDT:USDT -> BTC-USDT%3AUSDT."""
    base, slash, rest = symbol.partition("/")
    return _encoded(base) + ("-" if slash else "") + _encoded(rest)


def of_folder(name: str) -> str | None:
    """The symbol encoded in the name of a folder of recorded candles; None if the name is not a symbol.

    The first "-" is the slash, %XX any character: BTC-USDT, BTC-USDT:USDT or BTC-USDT%3AUSDT.
    """
    base, dash, rest = name.partition("-")
    symbol = f"{unquote(base)}/{unquote(rest)}"
    return symbol if dash and not problem(symbol) else None


def without_reserved(name: str) -> str:
    """A name with the characters that some file system forbids percent-encoded."""
    return "".join(_percent(letter) if letter in RESERVED or letter < " " else letter for letter in name)


def _encoded(part: str) -> str:
    return "".join(letter if PLAIN.fullmatch(letter) else _percent(letter) for letter in part)


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())
