"""What can be wrong with an answer, each kind a function from an answer to another.

All of it must be caught or be harmless. A lie that nobody can tell from the truth is not among it: other prices that
could be, a candle under another candle's time. That a candle is not there is such a lie as well; it is among it, as
whatever is missing must be told and asked for again.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.exchange_fuzz.families import Family, Row
from tests.fakes import Answer, Fake
from tests.fakes.exchange import text

TARGETS = ("candles", "candles", "candles", "time", "markets")
LARGEST_BODY = 400_000
"""What the loads of the fuzz take; see `line.surroundings`."""


@dataclass(frozen=True)
class Asked:
    """What an answer answers, and who mutates it."""

    fake: Fake
    family: Family
    length_ms: int
    rng: random.Random
    before: bytes

    def shown(self) -> list[tuple[int, list[str]]]:
        """All candles of the market so far in the asked length, the open one last."""
        return self.fake.shown(self.family.symbol, self.length_ms).texts()

    def some(self, page: list[Row]) -> list[int]:
        """Places in a page: one, some, or all."""
        count = self.rng.choice((1, 1, 2, max(1, len(page) // 3), len(page)))
        return sorted(self.rng.sample(range(len(page)), min(count, len(page))))


Change = Callable[[Answer, Asked], Answer]


@dataclass(frozen=True)
class Kind:
    """A kind of change, and the requests whose answers it makes sense for."""

    change: Change
    targets: tuple[str, ...] = TARGETS


def _rows(change: Callable[[list[Row], Asked], list[Row]]) -> Kind:
    def changed(answer: Answer, asked: Asked) -> Answer:
        page = asked.family.page(answer.body)
        if page:
            page[:] = change(page, asked)
        return answer

    return Kind(changed, ("candles",))


# Order, size, gaps, repeats


def _shuffled(page: list[Row], asked: Asked) -> list[Row]:
    return asked.rng.sample(page, len(page))


def _repeated(page: list[Row], asked: Asked) -> list[Row]:
    again = asked.some(page)
    return [row for i, row in enumerate(page) for row in [row] * (2 if i in again else 1)]


def _part(page: list[Row], asked: Asked) -> list[Row]:
    cut = asked.rng.randrange(len(page) + 1)
    return asked.rng.choice((page[:cut], page[cut:]))


def _holed(page: list[Row], asked: Asked) -> list[Row]:
    gone = asked.some(page)
    return [row for i, row in enumerate(page) if i not in gone]


def _more(page: list[Row], asked: Asked) -> list[Row]:
    """True candles of another time too, the open one among them."""
    shown = asked.shown()
    some = asked.rng.sample(shown, min(len(shown), asked.rng.choice((1, 2, 30))))
    some += shown[-1:] if asked.rng.random() < 0.5 else []
    return _shuffled(page + [asked.family.row_like(page[0], *candle) for candle in some], asked)


def _future(page: list[Row], asked: Asked) -> list[Row]:
    """Candles that open after now."""
    [*_, (_, values)] = asked.shown()
    now_ms = asked.fake.now_ms - asked.fake.now_ms % asked.length_ms
    later = [now_ms + asked.rng.choice((1, 2, 50)) * asked.length_ms for _ in range(asked.rng.choice((1, 3)))]
    return page + [asked.family.row_like(page[0], open_ms, values) for open_ms in later]


# Values


def _valued(change: Callable[[Row, Asked], None]) -> Kind:
    def changed(page: list[Row], asked: Asked) -> list[Row]:
        rows = [row.copy() for row in page]
        for i in asked.some(rows):
            change(rows[i], asked)
        return rows

    return _rows(changed)


def _other_types(row: Row, asked: Asked) -> None:
    """The same numbers, as text or as numbers."""
    for column in asked.family.columns:
        value = row[column]
        if asked.rng.random() < 0.5 and isinstance(value, str | int | float):
            number = float(value)
            row[column] = asked.rng.choice((number, text(number), f" {value}" if isinstance(value, str) else value))


def _no_number(row: Row, asked: Asked) -> None:
    nothing: tuple[Any, ...] = (None, "", "abc", "NaN", "Infinity", "-inf", [], {}, True, float("nan"), float("inf"))
    row[asked.rng.choice(asked.family.columns[1:])] = asked.rng.choice(nothing)


def _impossible(row: Row, asked: Asked) -> None:
    """Prices below zero, zero or absurd, a negative volume."""
    column = asked.rng.choice(asked.family.columns[1:])
    is_volume = column == asked.family.columns[-1]
    wrong = ["-1", "-1e-9", "1e300"] if is_volume else ["-1", "0", "-0.0", "1e300", "5e-324"]
    row[column] = asked.rng.choice(wrong)


def _upside_down(row: Row, asked: Asked) -> None:
    """High and low exchanged; a flat candle stays what it is."""
    _, _, high, low, *_ = asked.family.columns
    row[high], row[low] = row[low], row[high]


def _stamp(make: Callable[[int, Asked], Any]) -> Kind:
    def change(row: Row, asked: Asked) -> None:
        column = asked.family.columns[0]
        row[column] = make(int(float(row[column])), asked)

    return _valued(change)


def _other_unit(stamp: int, asked: Asked) -> int:
    return int(stamp * asked.rng.choice((1000, 10**6, 1e-3)))


def _off_grid(stamp: int, asked: Asked) -> int:
    length = asked.length_ms // asked.family.unit_ms
    return stamp + asked.rng.choice((1, length // 2, length - 1, -1))


def _no_stamp(stamp: int, asked: Asked) -> Any:
    return asked.rng.choice((None, "", "2024-03-04T00:00:00Z", "abc", -stamp, 0, 1e30, [stamp], True, float("nan")))


def _more_columns(row: Row, asked: Asked) -> None:
    if isinstance(row, list):
        row.extend([None, "x", [1]])
    else:
        row["more"] = {"a": [None]}


def _fewer_columns(row: Row, asked: Asked) -> None:
    """Columns are lost at the end of a list: inside it the others would move, and could pass for candles."""
    if isinstance(row, list):
        del row[asked.rng.randrange(len(row)) :]
    else:
        del row[asked.rng.choice(asked.family.columns)]


# Bodies and statuses


def _body(make: Callable[[Answer, Asked], bytes]) -> Kind:
    return Kind(lambda answer, asked: Answer(make(answer, asked), answer.status, answer.headers))


_OTHER_BODIES = (
    b"", b" ", b"null", b"0", b"42", b"true", b'""', b'"text"', b"[]", b"{}", b"[[]]", b"[null]", b"[{}]", b"[0]",
    b"[[null,null,null,null,null,null]]", b"NaN", b'{"a": NaN}', b"\x00", b"\xff\xfe\xfa", b"ok",
    b"<html><body><h1>502 Bad Gateway</h1>\r\n</body></html>", b"<?xml version='1.0'?><error/>",
    b'{"result": null, "data": null, "candles": null}', b'{"error": "x"}', b'{"error": ["EService:Unavailable"]}',
    b'{"code": -1003, "msg": "Too many requests"}', b'{"code": "50011", "msg": "Too Many Requests", "data": []}',
    b'{"retCode": 10006, "retMsg": "Too many visits!", "result": {}}', b'{"data": {"ohlc": {}}, "code": "0"}',
    b'{"result": {"list": {}}, "retCode": 0}', b'{"error": [], "result": []}', b'{"error": [], "result": {"last": 0}}',
    b'{"candles": {}}', b'{"candles": [1]}', b"\xef\xbb\xbf[]", b'{"message":"line one\\nline two\\u0000\\u001b[31m"}',
)  # fmt: skip


def _cut_off(answer: Answer, asked: Asked) -> bytes:
    body = answer.encoded()
    return body[: asked.rng.randrange(len(body) + 1)]


def _noise(answer: Answer, asked: Asked) -> bytes:
    body = bytearray(answer.encoded())
    for _ in range(asked.rng.choice((1, 5))):
        if body:
            # Letters that belong to no number: a changed digit could pass for the truth.
            body[asked.rng.randrange(len(body))] = asked.rng.choice(b"\x00\x80\xffx[{<\"'")
    return bytes(body)


def _deep(answer: Answer, asked: Asked) -> bytes:
    depth = asked.rng.choice((500, 3_000, 30_000))
    return asked.rng.choice((b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))


def _large(answer: Answer, asked: Asked) -> bytes:
    return answer.encoded() + b" " * LARGEST_BODY


def _encoded(answer: Answer, asked: Asked) -> bytes:
    body = answer.encoded().decode("latin-1")
    return body.encode(asked.rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7", "cp037")))


def _compressed(answer: Answer, asked: Asked) -> Answer:
    """A true encoding, none where one is promised, and a small body that unfolds into a large one."""
    body = answer.encoded()
    name, sent = asked.rng.choice(
        (
            ("gzip", gzip.compress(body)),
            ("gzip", body),
            ("deflate", body),
            ("br", body),
            ("gzip", gzip.compress(body)[:-9]),
            ("gzip", gzip.compress(body + b" " * 4 * LARGEST_BODY)),
        )
    )
    return Answer(sent, answer.status, {**answer.headers, "Content-Encoding": name})


_STATUSES = (0, 200, 204, 206, 301, 302, 304, 400, 401, 403, 404, 408, 410, 418, 422, 429, 429, 451, 500, 502, 503, 504)
_STATUSES += (520, 522, 525, 530, 600, 999)
_PAUSES = ("0", "7", "7.5", "250", "301", "7000000", "-5", "soon", "", "1e9", "nan", "9" * 400, "²", " 3 ")
_PAUSES += ("Mon, 04 Mar 2024 01:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 99 Foo 2024", "٣")
_PLACES = ("https://example.com/", "/elsewhere", "//", "http://", "", "ftp://x/", "http://[", "\u00e9", "?x=1")


def _status(answer: Answer, asked: Asked) -> Answer:
    """Another status with the true body or another one, with and without headers that ask for a pause or lead away."""
    headers = dict(answer.headers)
    if asked.rng.random() < 0.5:
        headers["Retry-After"] = asked.rng.choice(_PAUSES)
    status = asked.rng.choice(_STATUSES)
    if 300 <= status < 400:
        headers["Location"] = asked.rng.choice(_PLACES)
    body = asked.rng.choice((answer.body, b"", asked.rng.choice(_OTHER_BODIES)))
    return Answer(body, status, headers)


def _slow_down(answer: Answer, asked: Asked) -> Answer:
    return Answer(b"{}", asked.rng.choice((418, 429, 503)), {"Retry-After": asked.rng.choice(_PAUSES)})


def _answer_before(answer: Answer, asked: Asked) -> Answer:
    """The answer to the request before, what a careless cache does; of the same timeframe, as days could be hours."""
    return Answer(asked.before) if asked.before else answer


def _wrong_clock(answer: Answer, asked: Asked) -> Answer:
    """All times that the exchange says are off by as much, forward or back."""
    off = asked.rng.choice((-1, 1)) * asked.rng.choice((1_000, 40_000, 59_000, 70_000, 3_600_000, 10 * 86_400_000))
    return Answer(_moved(answer.body, asked.fake.now_ms, off), answer.status, answer.headers)


def _moved(value: Any, now_ms: int, off_ms: int) -> Any:
    if isinstance(value, dict):
        return {name: _moved(one, now_ms, off_ms) for name, one in value.items()}
    if isinstance(value, list):
        return [_moved(one, now_ms, off_ms) for one in value]
    for per_ms in (1, 1e3, 1e-6):  # in milliseconds, seconds, nanoseconds
        if str(value) == str(int(now_ms / per_ms)):
            return type(value)(int((now_ms + off_ms) / per_ms))
    return value


def _no_clock(answer: Answer, asked: Asked) -> Answer:
    value = asked.rng.choice((None, "abc", 0, -1, 1e300, "NaN", [], {}, True, 12, "1e13", 10**16))
    return Answer(
        {name: value for name in (answer.body if isinstance(answer.body, dict) else {})} | {"serverTime": value}
    )


def _unlisted(answer: Answer, asked: Asked) -> Answer:
    """No market, or a part of what is said about each is gone or something else."""
    return Answer(_damaged(answer.body, asked.rng), answer.status, answer.headers)


def _damaged(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [] if rng.random() < 0.3 else [_damaged(one, rng) for one in value]
    if isinstance(value, dict):
        return {
            name: rng.choice((None, "x", [], {}, -1)) if rng.random() < 0.15 else _damaged(one, rng)
            for name, one in value.items()
            if rng.random() > 0.1
        }
    return value


KINDS: dict[str, Kind] = {
    "shuffled": _rows(_shuffled),
    "reversed": _rows(lambda page, _: page[::-1]),
    "repeated": _rows(_repeated),
    "a part of the page": _rows(_part),
    "an empty page": _rows(lambda page, _: []),
    "rows missing": _rows(_holed),
    "rows of other times": _rows(_more),
    "rows of the future": _rows(_future),
    "other types": _valued(_other_types),
    "no number": _valued(_no_number),
    "impossible values": _valued(_impossible),
    "high and low exchanged": _valued(_upside_down),
    "stamps of another unit": _stamp(_other_unit),
    "stamps off the time grid": _stamp(_off_grid),
    "stamps that are none": _stamp(_no_stamp),
    "more columns": _valued(_more_columns),
    "fewer columns": _valued(_fewer_columns),
    "another body": _body(lambda answer, asked: asked.rng.choice(_OTHER_BODIES)),
    "cut off": _body(_cut_off),
    "noise": _body(_noise),
    "deep": _body(_deep),
    "large": _body(_large),
    "another encoding": _body(_encoded),
    "compressed": Kind(_compressed),
    "another status": Kind(_status),
    "slow down": Kind(_slow_down),
    "the answer before": Kind(_answer_before),
    "wrong clock": Kind(_wrong_clock, ("time",)),
    "no clock": Kind(_no_clock, ("time",)),
    "unlisted": Kind(_unlisted, ("markets",)),
}
