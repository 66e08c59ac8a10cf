"""The status of a sweep while it runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.cli.watching import watch_sweep
from flows.terminal.tables import CASES, status_records
from ml.forecasting.published import write_progress
from ml.store import Store

COLUMNS = ("symbol", *CASES)


def progress(status: str, done: int, *, age_seconds: float = 0.0) -> dict[str, Any]:
    series = {"exchange": "test", "symbol": "BTC/USDT", "timeframe": "1h"}
    series |= dict.fromkeys(CASES, 0) | {"cases_total": 9, "cases_done": done, "cases_never_tested": 9 - done}
    updated = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return {
        "sweep_id": "abc",
        "status": status,
        "updated_at": updated.isoformat(),
        "cases_done": done,
        "cases_total": 9,
        "cases_per_minute": 3.0,
        "eta_seconds": 120.0,
        "series": [series],
    }


def watch(store: Store, states: list[dict[str, Any]]) -> tuple[bool, str]:
    """Watch a sweep that comes to the next state whenever the watcher waits."""
    output = io.StringIO()
    rest = iter(states)
    done = watch_sweep(store, COLUMNS, Console(file=output, width=160), lambda _: write_progress(store, next(rest)))
    return done, output.getvalue().strip()


def test_the_watched_table_is_redrawn_until_the_sweep_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_progress(store, progress("running", 1))
    done, shown = watch(store, [progress("running", 5), progress("done", 9)])
    assert done
    assert "Sweep abc done: 9 of 9 test cases have a result" in shown
    assert "never tested" in shown


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (progress("running", 4, age_seconds=600), "`candleworks sweep` continues it"),
        (progress("stopped", 4), "4 of 9"),
    ],
)
def test_a_sweep_that_was_broken_off_is_told(tmp_path: Path, last: dict[str, Any], words: str) -> None:
    write_progress(Store(tmp_path), last)
    done, shown = watch(Store(tmp_path), [])
    assert not done
    assert words in shown


def test_without_a_sweep_there_is_nothing_to_watch(tmp_path: Path) -> None:
    assert watch(Store(tmp_path), []) == (False, "No sweep has run yet. Start one with `candleworks sweep`.")


def test_series_have_a_status_before_anything_was_published(tmp_path: Path) -> None:
    write_progress(Store(tmp_path), progress("running", 4))
    (record,) = status_records(Store(tmp_path))
    assert (record["symbol"], record["cases_done"], record["cases_never_tested"]) == ("BTC/USDT", 4, 5)
    assert (record["last_candle"], record["champion"]) == (None, None)
