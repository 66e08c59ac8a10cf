"""The tables of the command line: records of the published snapshot, as shown on the dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.studies.reference import reference_records
from ml.forecasting.published import has_table, read_progress, read_table
from ml.records import Row
from ml.store import Store
from ml.timeframes import TIMEFRAMES

SERIES = ("exchange", "symbol", "timeframe")


def leaderboard_records(store: Store) -> list[Row]:
    """Test cases of every series, best validation skill first."""
    return read_table(store, "leaderboard")


def shown_on_leaderboard(row: Mapping[str, Any]) -> Row:
    """A row of the leaderboard with the interval of its skill and its standing, as text."""
    lower, upper = row.get("skill_lower"), row.get("skill_upper")
    interval = None if lower is None or upper is None else f"{100 * lower:+.1f} .. {upper:+.1%}"
    standing = ("best set" if row.get("in_confidence_set") else "finalist") if row.get("is_finalist") else None
    return {**row, "skill_interval": interval, "standing": standing}


def sentences(leaderboard: Sequence[Mapping[str, Any]], alpha: float) -> list[str]:
    """One sentence per measured series: whether any case on its leaderboard beats the baseline.

    Args:
        leaderboard: see `leaderboard_records`.
        alpha: significance level of the SPA test: `promotion.search_alpha`.
    """
    first = {_series(row): row for row in reversed(leaderboard) if row.get("spa_p_value") is not None}
    lines = []
    for series in dict.fromkeys(map(_series, leaderboard)):
        if series in first:
            row = first[series]
            beaten = "some model beats the baseline" if row["spa_p_value"] <= alpha else "no model beats the baseline"
            tried = f"SPA p = {row['spa_p_value']:.3f}, {row['n_trials']:,} cases tried"
            lines.append(f"{row['symbol']} {row['timeframe']}: {beaten} here ({tried})")
    return lines


def forecast_records(store: Store) -> list[Row]:
    """Sealed forecasts, oldest first, with their scores where the candle has closed."""
    return read_table(store, "forecasts")


#: Numbers of test cases per state; pruned ones are tested ones that successive halving did not continue.
CASES = tuple(f"cases_{name}" for name in ("total", "done", "never_tested", "in_work", "tested", "failed", "pruned"))


def status_records(store: Store) -> list[Row]:
    """One record per series: progress of the sweep and, once a snapshot is published, freshness of the candles."""
    cases = {_series(row): row for row in (read_progress(store) or {}).get("series", [])}
    champions = {_series(row): row for row in read_table(store, "champions")}
    health = {_series(row): row for row in read_table(store, "data_health")}
    return [
        {
            **dict(zip(SERIES, key, strict=True)),
            **{name: cases.get(key, {}).get(name, 0) for name in CASES},
            "last_candle": health.get(key, {}).get("last_open_time"),
            "freshness": health.get(key, {}).get("freshness"),
            "gaps": health.get(key, {}).get("gaps"),
            "champion": champions.get(key, {}).get("model"),
        }
        for key in dict.fromkeys([*health, *cases])
    ]


def interval_alarms(store: Store) -> list[str]:
    """One line per series whose 80 % interval has a coverage clearly below or above its level."""
    if not has_table(store, "band_reliability"):
        return []  # a snapshot of an earlier version
    return [
        f"{row['symbol']} {row['timeframe']}: the {row['level']:.0%} interval covered {row['coverage']:.0%} of "
        f"{row['forecasts']} live candles. Do not rely on its width; see `candleworks forecasts --all`."
        for row in read_table(store, "band_reliability")
        if row["alarm"]
    ]


def benchmark_records(store: Store) -> list[Row]:
    """For the README: the best case of every series; all models and the reference preset where that was run."""
    references = reference_records(store)
    compared = {_series(row) for row in references}
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in leaderboard_records(store):
        series = _series(row)
        best.setdefault((series, row["model"]) if series in compared else (series,), row)
    records = [
        {**shown_on_leaderboard(row), "evaluated_on": f"validation, {row['n_validation']:,} rows"}
        for row in best.values()
    ]
    for row in references:
        evaluated = f"its own test part, {row['n_test']:,} rows"
        records.append({**row, "evaluated_on": evaluated, "model": f"{row['model']}, {row['epochs']} epochs"})
    order = {name: position for position, name in enumerate(TIMEFRAMES)}
    return sorted(records, key=lambda row: (row["symbol"], order[row["timeframe"]], -row["skill"]))


def _series(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in SERIES)
