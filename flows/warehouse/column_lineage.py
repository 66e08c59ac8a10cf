"""Column-level lineage: the parts of SQL on which a column of a query depends, down to the tables, as a fingerprint.

dbt's state comparison, and the stamps of tables, treat a model as a whole. Here each column has a fingerprint of its
own: it does not change with another formula of the same model, nor with comments, descriptions and formatting, since
SQL is compared as a syntax tree. If a name is ambiguous, every candidate counts: a fingerprint may change needlessly,
but never stays the same when the column changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp

Queries = dict[str, exp.Query]
#: A relation that dbt fills in batches for the feature models -> the views whose columns it has.
SAME_AS: Mapping[str, Sequence[str]] = {"int_candles__lists": ("fct_candles", "dim_markets")}
DIGITS = 16


@lru_cache(maxsize=256)
def _parsed(sql: str) -> exp.Query:
    query = sqlglot.parse_one(sql, read="duckdb")
    if isinstance(query, exp.Create):
        query = query.expression
    if isinstance(query, exp.Subquery):
        query = query.unnest()
    assert isinstance(query, exp.Query), f"no query: {sql[:80]}"
    for name in query.find_all(exp.Identifier, exp.Anonymous):  # DuckDB ignores case
        name.set("this", name.name.lower())
    return query


@dataclass(frozen=True)
class _Piece:
    """A part of a select: its text, the names and functions in it, and the queries inside it."""

    text: str
    names: frozenset[str]
    functions: frozenset[str]
    inner: tuple[exp.Query, ...]

    @classmethod
    def of(cls, node: exp.Expr) -> _Piece:
        functions = (
            one.name if isinstance(one, exp.Anonymous) else one.sql_name().lower() for one in node.find_all(exp.Func)
        )
        inner = (found for found in node.find_all(exp.Query) if found is not node)
        names = (part.name for column in node.find_all(exp.Column) for part in column.parts)
        return cls(_text(node), frozenset(names), frozenset(functions), tuple(inner))


@dataclass(frozen=True)
class _Select:
    """A select in pieces: its columns (name, None for a star), the rest of it, and its sources."""

    node: exp.Select
    columns: tuple[tuple[str | None, _Piece], ...]
    shape: _Piece
    sources: tuple[exp.Expr, ...]


#: By the id of the node, which the value keeps alive. Views and groups share most selects, and splitting one is slow.
_TAKEN_APART: dict[int, _Select] = {}


def _apart(select: exp.Select) -> _Select:
    if id(select) not in _TAKEN_APART:
        _TAKEN_APART[id(select)] = _Select(
            select,
            tuple((None if one.is_star else one.alias_or_name, _Piece.of(one)) for one in select.expressions),
            _Piece.of(_without_columns(select)),
            tuple(_sources(select)),
        )
    return _TAKEN_APART[id(select)]


class Lineage:
    """Resolves columns of queries over a warehouse.

    Args:
        tables: table -> column -> fingerprint, of tables that were stamped when they were built.
        views: view -> its SQL.
        code_of: name of a function -> a text that identifies its code; empty for a built-in function.
    """

    def __init__(
        self, tables: Mapping[str, Mapping[str, str]], views: Mapping[str, str], code_of: Callable[[str], str]
    ) -> None:
        self._tables = tables
        self._views = views
        self._code_of = code_of
        self._known: dict[tuple[int, str, frozenset[str]], frozenset[str]] = {}

    def fingerprints(self, sql: str) -> dict[str, str]:
        """Column -> fingerprint (16 hexadecimal digits) of a query, without the columns that only a star names."""
        query = _parsed(sql)
        named = [name for name in _outputs(query, {}) if name != "*"]
        return {name: self._fingerprint(query, name) for name in named}

    def _fingerprint(self, query: exp.Query, name: str) -> str:
        parts = self._parts("", query, frozenset((name,)), {})
        return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()[:DIGITS]

    def _parts(self, place: str, query: exp.Expr, names: frozenset[str], scope: Queries) -> frozenset[str]:
        """The parts on which the columns `names` of a query depend; `place` is the name of the query."""
        if isinstance(query, exp.Subquery):
            query = query.this
        # No need for the scope in the key: it follows from the position of the query.
        key = (id(query), place, names)
        if key not in self._known:
            scope = scope | {cte.alias: cte.this for cte in getattr(query, "ctes", [])}
            self._known[key] = frozenset(self._found(place, query, names, scope))
        return self._known[key]

    def _found(self, place: str, query: exp.Expr, names: frozenset[str], scope: Queries) -> Iterator[str]:
        if isinstance(query, exp.SetOperation):
            yield f"{place}: {type(query).__name__} {bool(query.args.get('distinct'))}"
            yield from self._parts(place, query.left, names, scope)
            yield from self._parts(place, query.right, _same_places(query, names, scope), scope)
        elif isinstance(query, exp.Select):
            yield from self._of_select(place, query, names, scope)
        else:
            yield f"{place}: {_text(query)}"

    def _of_select(self, place: str, query: exp.Select, names: frozenset[str], scope: Queries) -> Iterator[str]:
        select = _apart(query)
        chosen = [piece for name, piece in select.columns if name is None or name in names]
        pieces = [*chosen, select.shape]
        used = frozenset().union(*(piece.names for piece in pieces))
        if any(name is None for name, _ in select.columns):
            used |= names
        for piece in pieces:
            yield f"{place}: {piece.text}"
            yield from filter(None, map(self._code_of, piece.functions))
            for inner in piece.inner:
                yield from self._parts(f"{place}/inner", inner, used.union(_outputs(inner, scope)), scope)
        for source in select.sources:
            if isinstance(source, exp.Table):
                yield from self._of_table(source.name, used, scope)
            else:
                yield from self._parts(f"{place}/{source.alias}", source, used, scope)

    def _of_table(self, name: str, names: frozenset[str], scope: Queries) -> Iterator[str]:
        if name in scope:
            # A CTE may have the name of the table that it reads; inside it the name means the table.
            outer = {other: query for other, query in scope.items() if other != name}
            yield from self._parts(name, scope[name], names, outer)
        elif name in self._tables:
            known = self._tables[name]
            yield from (f"{name}.{column}: {known[column]}" for column in names & known.keys())
        elif name in self._views:
            yield from self._parts(name, _parsed(self._views[name]), names, {})
        elif name in SAME_AS:
            for view in SAME_AS[name]:
                yield from self._of_table(view, names, {})
        else:
            yield f"table {name}"


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False, normalize_functions="lower")


def _sources(select: exp.Select) -> Iterable[exp.Expr]:
    """The direct sources of a select."""
    start = select.args.get("from_")
    joined = [start] if start is not None else []
    for part in (*joined, *select.args.get("joins", []), *select.args.get("laterals", [])):
        source = part.this
        if isinstance(source, exp.Table | exp.Subquery):
            yield source


def _without_columns(select: exp.Select) -> exp.Expr:
    """A select without its columns, its CTEs and the queries that it reads from: its joins, filters and groups."""
    shape = select.copy()
    shape.set("with_", None)
    shape.set("expressions", [exp.Literal.number(1)])
    for source in list(_sources(shape)):
        if isinstance(source, exp.Subquery):
            source.replace(exp.to_table(source.alias or "subquery"))
    return shape


def _outputs(query: exp.Expr, scope: Queries) -> list[str]:
    """Names of a query's columns in order; "*" for a star over an unknown relation."""
    if isinstance(query, exp.Subquery):
        return _outputs(query.this, scope)
    if isinstance(query, exp.SetOperation):
        return _outputs(query.left, scope | {cte.alias: cte.this for cte in query.ctes})
    if not isinstance(query, exp.Select):
        return ["*"]
    scope = scope | {cte.alias: cte.this for cte in query.ctes}
    names: list[str] = []
    for one in query.expressions:
        if not one.is_star:
            names.append(one.alias_or_name)
            continue
        for source in _sources(query):
            inner = {other: found for other, found in scope.items() if other != source.name}
            found = scope.get(source.name) if isinstance(source, exp.Table) else source
            names += ["*"] if found is None else _outputs(found, inner)
    return names


def _same_places(query: exp.SetOperation, names: frozenset[str], scope: Queries) -> frozenset[str]:
    """`names` of the left side of a union, and the names of the same columns on the right side."""
    left, right = _outputs(query.left, scope), _outputs(query.right, scope)
    if "*" in left or "*" in right or len(left) != len(right):
        return names
    return names | {there for here, there in zip(left, right, strict=True) if here in names}
