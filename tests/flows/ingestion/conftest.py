"""Fixtures of the tests of loads."""

from __future__ import annotations

import ccxt
import pytest


@pytest.fixture(autouse=True)
def no_pauses_between_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ccxt ask as fast as it can: the exchanges of the tests have no limits but those that a test gives them."""
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda *_: None)
