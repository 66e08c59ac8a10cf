"""Scores by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ml.forecasting.scoring import score_forecast

FORECAST: dict[str, Any] = {
    "open": 100.0,
    "high": 104.0,
    "low": 98.0,
    "close": 102.0,
    "band_low": 97.0,
    "band_high": 106.0,
    "band_level": 0.8,
    "baseline_high": 101.0,
    "baseline_low": 99.0,
    "baseline_close": 100.0,
    "scale": 0.05,
    "model": "baseline",
    "case_key": None,
    "rivals": {"still": [100.0, 100.0, 100.0], "ewma_range": [101.0, 99.0, 100.0]},
}
#: A stored name of the nonconformity score.
NONCONFORMITY = "conformity"
ACTUAL = {"open": 100.0, "high": 105.0, "low": 96.0, "close": 103.0}


def test_a_score_by_hand() -> None:
    score = score_forecast(FORECAST, ACTUAL)
    # Errors in percent of the close of 100: 104 - 105, 98 - 96, 102 - 103.
    assert (score["high_error_pct"], score["low_error_pct"], score["close_error_pct"]) == pytest.approx((-1, 2, -1))
    assert score["error_pct"] == pytest.approx((6 / 3) ** 0.5)  # (1 + 4 + 1) / 3
    assert score["baseline_error_pct"] == pytest.approx((34 / 3) ** 0.5)  # -4, 3, -3: (16 + 9 + 9) / 3
    assert score["skill"] == pytest.approx(1 - (6 / 34) ** 0.5)
    assert (score["covered"], score["direction_hit"]) == (False, True)  # 96 is below the interval's 97
    # Low at the 10 % quantile: 1 too high costs 0.9; high at the 90 % quantile: 1 too high costs 0.1; their mean.
    assert score["pinball_pct"] == pytest.approx((0.9 + 0.1) / 2)
    # Outside by log(105 / 104) above and log(98 / 96) = 0.020619 below: the larger, over 0.05.
    assert score[NONCONFORMITY] == pytest.approx(0.4123858)
    assert [score[f"actual_{name}"] for name in ("open", "high", "low", "close")] == [100, 105, 96, 103]


def test_errors_are_shares_of_the_close_that_the_forecast_was_made_from() -> None:
    others = ("band_level", "scale", "model", "case_key", "rivals")
    prices = {name: value * 10 for name, value in FORECAST.items() if name not in others}
    prices["rivals"] = {name: [10 * price for price in said] for name, said in FORECAST["rivals"].items()}
    ten_times = score_forecast(FORECAST | prices, {name: value * 10 for name, value in ACTUAL.items()})
    once = score_forecast(FORECAST, ACTUAL)
    relative = {name: value for name, value in once.items() if not name.startswith(("actual_", "rival_"))}
    assert {name: ten_times[name] for name in relative} == pytest.approx(relative)
    assert ten_times["rival_errors"] == pytest.approx(once["rival_errors"])


@pytest.mark.parametrize(
    ("predicted", "came", "hit"),
    [(102, 103, True), (102, 97, False), (98, 97, True), (98, 103, False), (100, 103, None), (102, 100, None)],
)
def test_the_direction_is_that_of_the_close_and_has_no_answer_where_nothing_moves(
    predicted: float, came: float, hit: bool | None
) -> None:
    score = score_forecast(FORECAST | {"close": predicted}, ACTUAL | {"close": came})
    assert score["direction_hit"] is hit


@pytest.mark.parametrize(
    ("low", "high", "covered"), [(97, 106, True), (96.99, 106, False), (97, 106.01, False), (99, 101, True)]
)
def test_a_candle_is_covered_when_all_of_it_is_within_the_interval(low: float, high: float, covered: bool) -> None:
    assert score_forecast(FORECAST, ACTUAL | {"low": low, "high": high})["covered"] is covered


def test_a_perfect_forecast_has_skill_1_and_a_negative_conformity_is_inside() -> None:
    truth: dict[str, Any] = {name: FORECAST[name] for name in ("open", "high", "low", "close")}
    score = score_forecast(FORECAST, truth)
    assert (score["error_pct"], score["skill"], score[NONCONFORMITY]) == (0, 1, 0)
    inside = score_forecast(FORECAST, {"open": 100.0, "high": 103.0, "low": 99.0, "close": 102.0})
    assert inside[NONCONFORMITY] < 0


def test_every_contender_of_the_round_has_its_error() -> None:
    # Against 105, 96, 103: the still one is -5, 4, -3 off, the EWMA range -4, 3, -3, the served one -1, 2, -1.
    rivals = {"still": (50 / 3) ** 0.5, "ewma_range": (34 / 3) ** 0.5}
    assert score_forecast(FORECAST, ACTUAL)["rival_errors"] == pytest.approx(rivals)
    served = score_forecast(FORECAST | {"model": "ridge", "case_key": "c1"}, ACTUAL)["rival_errors"]
    assert served == pytest.approx(rivals | {"ridge": 2**0.5})
    alike = score_forecast(FORECAST | {"model": "still", "case_key": "c1"}, ACTUAL)["rival_errors"]
    assert alike == pytest.approx(rivals)


def test_without_a_scale_there_is_no_conformity() -> None:
    assert score_forecast(FORECAST | {"scale": 0.0}, ACTUAL)[NONCONFORMITY] is None
