"""The tables of the command line: records of the published snapshot, as shown on the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from flows.studies.reference import reference_records
from ml.forecasting.published import has_table, read_progress, read_table
from ml.records import CaseCounts, LeaderboardRow, SeriesKey
from ml.store import Store
from ml.timeframes import TIMEFRAMES

_Key = tuple[str, str, str]


class LeaderboardLine(LeaderboardRow, total=False):
    """A row of the leaderboard with texts for people."""

    skill_interval: str | None
    standing: str | None


class BenchmarkLine(LeaderboardLine, total=False):
    """A row of the README's table."""

    evaluated_on: str


class ForecastLine(SeriesKey, total=False):
    """The columns of the snapshot's forecasts that programs read by name; the interval is in quote units."""

    is_current: bool
    band_low: float
    band_high: float


class StatusLine(SeriesKey, CaseCounts, total=False):
    """Progress of the sweep on a series, and freshness of its candles; null before the first publication."""

    last_candle: datetime | None
    freshness: str | None
    gaps: int | None
    champion: str | None


def leaderboard_records(store: Store) -> list[LeaderboardRow]:
    """Test cases of every series, best validation skill first."""
    return read_table(store, "leaderboard")


def shown_on_leaderboard(row: LeaderboardRow) -> LeaderboardLine:
    """A row of the leaderboard with the interval of its skill and its standing, as text."""
    lower, upper = row.get("skill_lower"), row.get("skill_upper")
    interval = None if lower is None or upper is None else f"{100 * lower:+.1f} .. {upper:+.1%}"
    standing = ("best set" if row.get("in_confidence_set") else "finalist") if row.get("is_finalist") else None
    return {**row, "skill_interval": interval, "standing": standing}


def sentences(leaderboard: Sequence[LeaderboardRow], alpha: float) -> list[str]:
    """One sentence per measured series: whether any case on its leaderboard beats the baseline.

    Args:
        leaderboard: see `leaderboard_records`.
        alpha: significance level of the SPA test: `promotion.search_alpha`.
    """
    lines: dict[_Key, str] = {}
    for row in leaderboard:
        p_value = row.get("spa_p_value")
        if p_value is not None and _series(row) not in lines:
            beaten = "some model beats the baseline" if p_value <= alpha else "no model beats the baseline"
            tried = f"SPA p = {p_value:.3f}, {row['n_trials']:,} cases tried"
            lines[_series(row)] = f"{row['symbol']} {row['timeframe']}: {beaten} here ({tried})"
    return list(lines.values())


def forecast_records(store: Store) -> list[ForecastLine]:
    """Sealed forecasts, oldest first, with their scores where the candle has closed."""
    return read_table(store, "forecasts")


CASES = tuple(CaseCounts.__annotations__)


def status_records(store: Store) -> list[StatusLine]:
    """One record per series: progress of the sweep and, once a snapshot is published, freshness of the candles."""
    progress = read_progress(store)
    cases = {_series(row): row for row in (progress["series"] if progress else ())}
    models = {_series(row): row["model"] for row in read_table(store, "champions")}
    health = {_series(row): row for row in read_table(store, "data_health")}
    lines = [
        {
            **dict(zip(SeriesKey.__annotations__, key, strict=True)),
            **{name: cases.get(key, {}).get(name, 0) for name in CASES},
            "last_candle": health.get(key, {}).get("last_open_time"),
            "freshness": health.get(key, {}).get("freshness"),
            "gaps": health.get(key, {}).get("gaps"),
            "champion": models.get(key),
        }
        for key in dict.fromkeys([*health, *cases])
    ]
    return cast(list[StatusLine], lines)


def interval_alarms(store: Store) -> list[str]:
    """One line per series, and per group of its candles, whose 80 % interval holds clearly too rarely or too often."""
    loud = [
        row
        for table in ("band_reliability", "band_groups")
        if has_table(store, table)  # snapshots of earlier versions lack them
        for row in read_table(store, table)
        if row["alarm"]
    ]
    return [
        f"{row['symbol']} {row['timeframe']}{', ' if 'group_name' in row else ''}{row.get('group_name', '')}: the 80% "
        f"interval covered {row['coverage']:.0%} of {row['forecasts']} live candles. Do not rely on its width; see "
        "`candleworks forecasts --all`."
        for row in loud
    ]


def benchmark_records(store: Store) -> list[BenchmarkLine]:
    """For the README: the best case of every series; all models and the reference preset where that was run."""
    references = reference_records(store)
    compared = {_series(row) for row in references}
    best: dict[tuple[_Key, str], LeaderboardRow] = {}
    for row in leaderboard_records(store):
        series = _series(row)
        best.setdefault((series, row["model"] if series in compared else ""), row)
    records: list[BenchmarkLine] = [
        {**shown_on_leaderboard(row), "evaluated_on": f"validation, {row['n_validation']:,} rows"}
        for row in best.values()
    ]
    for one in references:
        shown = {"evaluated_on": f"its own test part, {one['n_test']:,} rows"}
        records.append(cast(BenchmarkLine, {**one, **shown, "model": f"{one['model']}, {one['epochs']} epochs"}))
    order = {name: position for position, name in enumerate(TIMEFRAMES)}
    return sorted(records, key=lambda row: (row["symbol"], order[row["timeframe"]], -row["skill"]))


def _series(row: SeriesKey) -> _Key:
    return row["exchange"], row["symbol"], row["timeframe"]
