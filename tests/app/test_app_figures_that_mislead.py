"""Figures that would mislead a stakeholder are not shown: luck as live skill, a p-value of zero, rows counted twice."""

from __future__ import annotations

import pandas as pd
import pytest

from app.components import ENOUGH_LIVE, live_skill
from app.skill_charts import skill_of_all_cases
from app.views.health import market_totals
from app.evidence import p_value_text

DASH, MINUS = "\u2013", "\u2212"


@pytest.mark.parametrize(("scored", "shown"), [(2, DASH), (ENOUGH_LIVE - 1, DASH), (ENOUGH_LIVE, f"{MINUS}22.0 %")])
def test_live_skill_is_a_dash_while_it_rests_on_few_forecasts(scored: int, shown: str) -> None:
    assert live_skill(pd.Series({"live_forecasts": scored, "live_skill": -0.22})) == shown


@pytest.mark.parametrize(
    ("p_value", "shown"),
    [(1e-9, "p < 0.001"), (0.0412, "p = 0.041"), (None, f"p = {DASH}"), (float("nan"), f"p = {DASH}")],
)
def test_a_p_value_is_never_zero(p_value: float | None, shown: str) -> None:
    assert p_value_text(p_value) == shown


def test_the_baseline_is_in_the_picture_where_every_case_is_better() -> None:
    cases = pd.DataFrame(
        {"model": ["a", "b"], "skill_percent": [2.6, 2.8], "is_champion": [False, True], "rank": [2, 1]}
    )
    low, high = skill_of_all_cases(cases).layout.xaxis.range
    assert low < 0 < high


def test_what_belongs_to_a_market_is_counted_once_and_not_once_a_timeframe() -> None:
    health = pd.DataFrame(
        {
            "exchange": ["binance"] * 3,
            "symbol": ["BTC/USDT", "BTC/USDT", "ETH/USDT"],
            "checks_failed": [1, 1, 0],
            "checks_run": [25, 25, 25],
            "quarantined": [4, 4, 6],
        }
    )
    assert market_totals(health).to_dict() == {"checks_failed": 1, "checks_run": 50, "quarantined": 10}
