"""What a column of a query is made of: the parts of SQL that it depends on, down to the tables, and their fingerprint.

dbt's own state comparison, and the stamps of tables, know a model as a whole. Here a column of it has a fingerprint of
its own: another formula in the same model leaves it alone, and so do comments, descriptions and formatting, since the
SQL is compared as a syntax tree. Where it cannot be told what a name means, every candidate counts: a fingerprint may
change without need, but not stay without right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import sqlglot
from sqlglot import exp

Queries = dict[str, exp.Query]
#: Collected in batches for the feature models: its columns are those of these views.
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
    for name in query.find_all(exp.Identifier, exp.Anonymous):  # DuckDB knows no upper case
        name.set("this", name.name.lower())
    return query


class Lineage:
    """Resolves columns of queries over a warehouse.

    Args:
        tables: table -> column -> fingerprint, of tables that were stamped when they were built.
        views: view -> its SQL.
        code_of: name of a function -> what stands for its code; empty for one of the database's own.
    """

    def __init__(
        self, tables: Mapping[str, Mapping[str, str]], views: Mapping[str, str], code_of: Callable[[str], str]
    ) -> None:
        self._tables = tables
        self._views = views
        self._code_of = code_of

    def fingerprints(self, sql: str) -> dict[str, str]:
        """Column -> fingerprint (16 hexadecimal digits) of a query, without the columns that only a star names."""
        query = _parsed(sql)
        named = [name for name in _outputs(query, {}) if name != "*"]
        return {name: self._fingerprint(query, name) for name in named}

    def _fingerprint(self, query: exp.Query, name: str) -> str:
        parts: set[str] = set()
        self._collect("", query, {name}, {}, parts)
        return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()[:DIGITS]

    def _collect(self, place: str, query: exp.Expr, names: set[str], scope: Queries, parts: set[str]) -> None:
        """Add what the columns `names` of a query are made of to `parts`; `place` is what the query is called."""
        if isinstance(query, exp.Subquery):
            query = query.this
        scope = scope | {cte.alias: cte.this for cte in getattr(query, "ctes", [])}
        if isinstance(query, exp.SetOperation):
            self._collect(place, query.left, names, scope, parts)
            self._collect(place, query.right, _same_places(query, names, scope), scope, parts)
            parts.add(f"{place}: {type(query).__name__} {bool(query.args.get('distinct'))}")
            return
        if not isinstance(query, exp.Select):
            parts.add(f"{place}: {_text(query)}")
            return
        chosen = [one for one in query.expressions if one.is_star or one.alias_or_name in names]
        shape = _without_columns(query)
        used = _used_names([*chosen, shape]) | (names if any(one.is_star for one in chosen) else set())
        parts |= {f"{place}: {_text(one)}" for one in (*chosen, shape)}
        for node in (*chosen, shape):
            for function in node.find_all(exp.Func):
                if code := self._code_of(function.name if isinstance(function, exp.Anonymous) else function.sql_name()):
                    parts.add(code)
            for inner in (found for found in node.find_all(exp.Query) if found is not node):
                self._collect(f"{place}/inner", inner, set(_outputs(inner, scope)) | used, scope, parts)
        for source in _sources(query):
            if isinstance(source, exp.Table):
                self._collect_table(source.name, used, scope, parts)
            else:
                self._collect(f"{place}/{source.alias}", source, used, scope, parts)

    def _collect_table(self, name: str, names: set[str], scope: Queries, parts: set[str]) -> None:
        if name in scope:
            # A CTE may be called as the table that it reads; inside it the name is the table's.
            outer = {other: query for other, query in scope.items() if other != name}
            self._collect(name, scope[name], names, outer, parts)
        elif name in self._tables:
            known = self._tables[name]
            parts |= {f"{name}.{column}: {known[column]}" for column in names & known.keys()}
        elif name in self._views:
            self._collect(name, _parsed(self._views[name]), names, {}, parts)
        elif name in SAME_AS:
            for view in SAME_AS[name]:
                self._collect_table(view, names, {}, parts)
        else:
            parts.add(f"table {name}")


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False, normalize_functions="lower")


def _sources(select: exp.Select) -> Iterable[exp.Expr]:
    """What a select reads from, directly."""
    start = select.args.get("from_") or select.args.get("from")
    joined = [start] if start is not None else []
    for part in (*joined, *select.args.get("joins", []), *select.args.get("laterals", [])):
        source = part.this
        if isinstance(source, exp.Table | exp.Subquery):
            yield source


def _without_columns(select: exp.Select) -> exp.Expr:
    """A select without its columns, its CTEs and the queries that it reads from: how it joins, filters and groups."""
    shape = select.copy()
    for key in ("with_", "with"):
        shape.set(key, None)
    shape.set("expressions", [exp.Literal.number(1)])
    for source in list(_sources(shape)):
        if isinstance(source, exp.Subquery):
            source.replace(exp.to_table(source.alias or "subquery"))
    return shape


def _used_names(nodes: Iterable[exp.Expr]) -> set[str]:
    """All names that may be columns: `a.b` may be column b of a, or field b of column a."""
    return {part.name for node in nodes for column in node.find_all(exp.Column) for part in column.parts}


def _outputs(query: exp.Expr, scope: Queries) -> list[str]:
    """Names of a query's columns in order; "*" where a star over something unknown stands."""
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


def _same_places(query: exp.SetOperation, names: set[str], scope: Queries) -> set[str]:
    """What the right side of a union calls the columns that the left side calls by `names`, and these."""
    left, right = _outputs(query.left, scope), _outputs(query.right, scope)
    if "*" in left or "*" in right or len(left) != len(right):
        return names
    return names | {there for here, there in zip(left, right, strict=True) if here in names}
