"""Fixtures of the tests of loads."""

from __future__ import annotations

import pytest

from tests.expectations.frames import plain_broken_rows


@pytest.fixture
def plain_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate without Great Expectations, whose verdict is the same (tests/expectations/test_properties.py)."""
    monkeypatch.setattr("expectations.gate.broken_rows", plain_broken_rows)
