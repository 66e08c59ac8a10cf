"""Lineage of columns over plain SQL."""

from __future__ import annotations

import pytest

from flows.warehouse.column_lineage import Lineage

TABLES = {"prices": {"close": "p1", "high": "p2"}, "other": {"close": "o1"}}
VIEWS = {"candles": "create view candles as (select close, high as top from prices where close > 0)"}
QUERY = """
with base as (select * from candles), averaged as (
    select close, top, avg_of(close, 3) as mean, avg_of(top, 3) as peak from base
)
select close, 2 * mean as a, peak + 1 as b, 7 as c from averaged
"""


def found(
    sql: str, code: dict[str, str] | None = None, tables: dict[str, dict[str, str]] | None = None
) -> dict[str, str]:
    codes = code or {"avg_of": "sum / n"}
    return Lineage(tables or TABLES, VIEWS, lambda name: codes.get(name, "")).fingerprints(sql)


def changed(sql: str, **other: object) -> set[str]:
    before, after = found(QUERY), found(sql, **other)  # type: ignore[arg-type]
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("old", "new", "columns"),
    [
        ("2 * mean", "3 * mean", {"a"}),
        ("avg_of(top, 3)", "avg_of(top, 4)", {"b"}),
        ("from base", "from base where close < 9", {"close", "a", "b", "c"}),
        ("from candles", "from other", {"close", "a", "b", "c"}),
        ("2 * mean as a", "2 * close as a", {"a"}),
        ("7 as c", "8 as c", {"c"}),
        ("select close, 2", "select   close, -- its price\n 2", set()),
        ("avg_of(close, 3)", "AVG_OF( close,3 )", set()),
        ("avg_of(top, 3) as peak from", "avg_of(top, 3) as peak, 5 as unused from", set()),
        ("select * from candles", "select * from candles limit 5", {"close", "a", "b", "c"}),
    ],
)
def test_a_column_changes_with_what_it_is_made_of(old: str, new: str, columns: set[str]) -> None:
    assert old in QUERY
    assert changed(QUERY.replace(old, new)) == columns


def test_what_lies_below_counts() -> None:
    assert changed(QUERY, tables={**TABLES, "prices": {"close": "p1", "high": "new"}}) == {"b"}
    assert changed(QUERY, code={"avg_of": "another"}) == {"a", "b"}


@pytest.mark.parametrize(
    ("query", "other", "same"),
    [
        (
            "select close as x from prices union all select close from other",
            "select close as x from prices union all select 2 * close from other",
            False,
        ),
        ("select close as x from prices", "select prices.close as x from prices", False),
        (
            "select x from (select close as x, high as y from prices)",
            "select x from (select close as x, 2 * high as y from prices)",
            True,
        ),
        (
            "select x from (select close as x from prices) as a join other on a.x = other.close",
            "select x from (select close as x from prices) as a join other on a.x < other.close",
            False,
        ),
        (
            "select s.close as x from (select struct_pack(close := close) as s from prices)",
            "select s.close as x from (select struct_pack(close := 2 * close) as s from prices)",
            False,
        ),
        (
            "select (select max(close) from other) as x from prices",
            "select (select min(close) from other) as x from prices",
            False,
        ),
        ("select close as x from prices", "select close as x from unknown", False),
        (
            "with prices as (select * from prices) select close as x from prices",
            "with prices as (select * replace (2 * close as close) from prices) select close as x from prices",
            False,
        ),
        (
            "select sum(close) over w as x from prices window w as (order by high)",
            "select sum(close) over w as x from prices window w as (order by close)",
            False,
        ),
        (
            "select list_transform(list(close), lambda v: v + high) as x from prices",
            "select list_transform(list(close), lambda v: v - high) as x from prices",
            False,
        ),
    ],
)
def test_what_cannot_be_told_apart_counts(query: str, other: str, same: bool) -> None:
    assert (found(query)["x"] == found(other)["x"]) is same
