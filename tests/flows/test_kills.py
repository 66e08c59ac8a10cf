"""A short drill: processes of a sweep are killed in the midst of their chunks, and no result is lost or different."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drill.leases import drill

pytestmark = pytest.mark.e2e


def test_kills_change_no_result(tmp_path: Path) -> None:
    told: list[str] = []
    assert drill(tmp_path, kills=3, stops=1, cases=400, seed=7, say=told.append) == []
    assert len(told) == 4
