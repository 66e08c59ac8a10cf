"""A store for the tests of the HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_harness import ApiStore


@pytest.fixture(scope="session")
def api_store(tmp_path_factory: pytest.TempPathFactory, snapshot: Path) -> ApiStore:
    """A store with the synthetic snapshot and sealed forecasts, for tests to copy."""
    return ApiStore.build(tmp_path_factory.mktemp("api_store"), snapshot)


@pytest.fixture
def store(api_store: ApiStore, tmp_path: Path) -> ApiStore:
    """A copy of it."""
    return api_store.copy(tmp_path)
