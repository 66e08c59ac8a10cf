"""One home per rule (ARCHITECTURE.md): nothing but a rule's home spells it out."""

from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY

SOURCES = [
    path
    for folder in ("app", "dbt/macros", "dbt/models", "expectations", "flows", "ml")
    for path in sorted((REPOSITORY / folder).rglob("*"))
    if path.suffix in (".py", ".sql")
]


@pytest.mark.parametrize(
    ("home", "spelling"),
    [
        ("flows/workspace/migrations.py", r"partition by (\w\.)?forecast_hash|partition by f\.hash"),
        ("flows/workspace/loads.py", r"max\(started_at\)"),
        ("ml/execution/workers.py", r"worker\W{0,3}(\.r?split\(|, ?':')"),
        (
            "ml/promotion/finalists.py",
            r"\"seeds\", \"feature_set\"|seeds\": ?null|== NEXT_CANDLE and|target = 'next_candle'",
        ),
        ("ml/promotion/verdicts.py", r"where decision (!?=|in) |decision\"\] == \"promoted\":"),
    ],
    ids=["newest score", "exchange time", "machine of a worker", "ranked results and seed mates", "champions"],
)
def test_a_rule_is_spelled_out_in_its_home_only(home: str, spelling: str) -> None:
    found = {str(path.relative_to(REPOSITORY)) for path in SOURCES
             if re.search(spelling, path.read_text("utf-8"), re.IGNORECASE | re.MULTILINE)}  # fmt: skip
    assert found == {home}
