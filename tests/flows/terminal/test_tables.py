"""The leaderboard of the command line: intervals, standing, and the plain sentence."""

from __future__ import annotations

from typing import Any

from flows.cli.tables import LEADERBOARD_COLUMNS
from flows.terminal.output import markdown_table
from flows.terminal.tables import sentences, shown_on_leaderboard


def row(timeframe: str, rank: int, p_value: float | None, **values: Any) -> dict[str, Any]:
    base = {"exchange": "test", "symbol": "BTC/USDT", "timeframe": timeframe, "rank": rank, "n_trials": 1234}
    base |= {"model": "hist_gradient_boosting", "baseline": "ewma_range", "skill": 0.028, "skill_mean_range": 0.1}
    base |= {"rmse_pct": 0.58, "holdout_skill": None, "spa_p_value": p_value}
    return base | values


MEASURED = {"skill_lower": -0.013, "skill_upper": 0.0412, "is_finalist": True, "in_confidence_set": True}


def test_a_field_that_could_be_luck_is_said_to_beat_nothing() -> None:
    rows = [row("1h", 1, 0.001), row("1h", 2, 0.001), row("4h", 1, 0.43), row("1d", 1, None)]
    assert sentences(rows, alpha=0.01) == [
        "BTC/USDT 1h: some model beats the baseline here (SPA p = 0.001, 1,234 cases tried)",
        "BTC/USDT 4h: no model beats the baseline here (SPA p = 0.430, 1,234 cases tried)",
    ]  # of 1d nothing is known
    assert "no model" in sentences(rows, alpha=0.0005)[0]
    assert sentences([], alpha=0.01) == []


def test_interval_and_standing_are_shown_where_they_were_measured() -> None:
    shown = shown_on_leaderboard(row("1h", 1, 0.0123, **MEASURED))
    assert (shown["skill_interval"], shown["standing"]) == ("-1.3 .. +4.1%", "best set")
    assert (
        shown_on_leaderboard(row("1h", 1, 0.1, **(MEASURED | {"in_confidence_set": False})))["standing"] == "finalist"
    )
    unknown = shown_on_leaderboard(row("1h", 9, None))
    assert (unknown["skill_interval"], unknown["standing"]) == (None, None)
    line = markdown_table([shown, unknown], LEADERBOARD_COLUMNS).splitlines()
    assert "| -1.3 .. +4.1% |" in line[2]
    assert line[2].endswith("| 1234 | 0.0123 |")
    assert line[3].endswith("| 1234 | - |")
