"""The tables of the command line: records of the published snapshot, the same that the dashboard shows."""

from __future__ import annotations

from typing import Any

from flows.reference import reference_records
from ml.published import read_progress, read_table
from ml.store import Store
from ml.timeframes import TIMEFRAMES

SERIES = ("exchange", "symbol", "timeframe")


def leaderboard_records(store: Store) -> list[dict[str, Any]]:
    """Test cases of every series, best validation skill first."""
    return read_table(store, "leaderboard")


def forecast_records(store: Store) -> list[dict[str, Any]]:
    """Sealed forecasts, oldest first, with their scores where the candle has closed."""
    return read_table(store, "forecasts")


def status_records(store: Store) -> list[dict[str, Any]]:
    """One record a series: how far the sweep is and how fresh the candles are."""
    cases = {_series(row): row for row in (read_progress(store) or {}).get("series", [])}
    champions = {_series(row): row for row in read_table(store, "champions")}
    records = []
    for health in read_table(store, "data_health"):
        key = _series(health)
        count = cases.get(key, {})
        records.append(
            {
                **dict(zip(SERIES, key, strict=True)),
                "cases_total": count.get("cases_total", 0),
                "cases_done": count.get("cases_done", 0),
                "cases_failed": count.get("cases_failed", 0),
                "last_candle": health["last_open_time"],
                "freshness": health["freshness"],
                "gaps": health["gaps"],
                "champion": champions.get(key, {}).get("model"),
            }
        )
    return records


def benchmark_records(store: Store) -> list[dict[str, Any]]:
    """For the README: the best case of every series, and all models beside the reference preset where that was run."""
    references = reference_records(store)
    compared = {_series(row) for row in references}
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in leaderboard_records(store):
        series = _series(row)
        best.setdefault((series, row["model"]) if series in compared else (series,), row)
    records = [{**row, "judged_on": f"validation, {row['n_validation']:,} rows"} for row in best.values()]
    for row in references:
        judged = f"its own test part, {row['n_test']:,} rows"
        records.append({**row, "judged_on": judged, "model": f"{row['model']}, {row['epochs']} epochs"})
    order = {name: position for position, name in enumerate(TIMEFRAMES)}
    return sorted(records, key=lambda row: (row["symbol"], order[row["timeframe"]], -row["skill"]))


def _series(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in SERIES)
