"""Fixtures of the tests of loads."""

from __future__ import annotations

import ccxt
import pytest

from tests.expectations.frames import plain_broken_rows


@pytest.fixture(autouse=True)
def no_pauses_between_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ccxt ask as fast as it can: the exchanges of the tests have no limits but those that a test gives them."""
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda *_: None)


@pytest.fixture
def plain_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate without Great Expectations, whose verdict is the same (tests/expectations/test_properties.py)."""
    monkeypatch.setattr("expectations.gate.broken_rows", plain_broken_rows)
