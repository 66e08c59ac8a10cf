"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def candles_dir() -> Path:
    """The folder of recorded real candles; tests that need it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("CANDLEWORKS_CANDLES", REPOSITORY.parent / "shared" / "candles"))
    if not folder.is_dir():
        pytest.skip(f"no recorded candles at {folder}; set CANDLEWORKS_CANDLES to their folder")
    return folder
