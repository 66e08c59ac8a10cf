"""Effects: planted truths, figures by hand, and the factors of cases as results have them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from ml.analysis.effects import ALL, BEST_HALF, FEWEST_CASES, Case, effect_cases, effect_values, in_scope, rank_effects
from ml.analysis.factors import completed, factors_of
from ml.search.cases import EVALUATION
from tests.ml.analysis.planted_effects import TRUTH, planted, shares_of_means

KEY: Any = {"exchange": "e", "symbol": "A/USDT", "timeframe": "1h", "dataset_id": "d"}


def test_the_planted_factor_is_ranked_first_and_no_other_interval_excludes_zero() -> None:
    for seed in range(3):
        cases = planted(seed)
        effects = rank_effects(cases)
        assert effects[0]["factor"] == TRUTH == max(shares := shares_of_means(cases), key=lambda name: shares[name])
        assert effects[0]["lower"] > 0
        others = [effect["factor"] for effect in effects[1:] if effect["lower"] > 0 and effect["factor"] != "companion"]
        assert not others
        # The skill is .02 or 0 with noise of .02: a fifth of its variance is planted, and a forest learns a part of it.
        assert 0.06 < effects[0]["importance"] < 0.25
        # The companion comes with the truth in 85 of 100 cases: its means differ, though it has no effect of its own.
        companion = next(effect for effect in effects if effect["factor"] == "companion")
        assert companion["importance"] < 0.25 * effects[0]["importance"]
        assert shares["companion"] > 0.25 * shares[TRUTH]


def test_a_forests_own_impurities_would_rank_the_factor_of_most_values_first() -> None:
    """Why the method is another one: the simplest forest measure fails on the same cases."""
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    cases = planted(0, effect=0.01)
    names = [name for name in cases[0].factors if name in ("many", TRUTH)]
    table = [[hash_free(case.factors[name]) for name in names] for case in cases]
    forest = RandomForestRegressor(50, random_state=0).fit(table, [case.skill for case in cases])
    assert names[forest.feature_importances_.argmax()] == "many"


def hash_free(value: str) -> float:
    return float(value) if value.isdigit() else float(value == "on")


def test_equal_cases_have_equal_figures_whatever_their_order_is_read_in() -> None:
    cases = planted(1, n=60)
    assert rank_effects(cases) == rank_effects(list(cases))


def test_few_equal_or_failed_cases_are_not_ranked() -> None:
    assert not rank_effects(planted(0, n=FEWEST_CASES - 1))
    assert not rank_effects([Case({"a": str(i % 2)}, 0.5) for i in range(50)])
    assert not rank_effects([Case({"a": str(i % 2)}, None) for i in range(50)])
    assert not rank_effects([])


def test_figures_per_value_are_those_by_hand() -> None:
    skills = {"10": [0.01, 0.02, 0.03, 0.04, 0.05, None], "2": [0.5], "3": [None]}
    cases = [Case({"alpha": value}, skill) for value, found in skills.items() for skill in found]
    two, three, ten = effect_values(cases)
    assert [value["value"] for value in (two, three, ten)] == ["2", "3", "10"], "numbers by size"
    # t(.95, 4) = 2.1318, deviation .0158114, root of 5.
    half = 2.131847 * 0.0158113883 / math.sqrt(5)
    assert ten["mean_skill"] == pytest.approx(0.03)
    assert (ten["lower"], ten["upper"]) == (pytest.approx(0.03 - half, rel=1e-4), pytest.approx(0.03 + half, rel=1e-4))
    assert (ten["n"], ten["n_failed"], ten["is_few"], ten["best_skill"]) == (5, 1, False, 0.05)
    assert (two["n"], two["is_few"], two["lower"]) == (1, True, None)
    assert (three["n"], three["n_failed"], three["mean_skill"], three["is_few"]) == (0, 1, None, True)


def test_the_best_half_are_the_tested_cases_from_the_median_on() -> None:
    cases = [Case({"a": "b"}, skill) for skill in (0.4, 0.1, 0.3, 0.2, None)]
    assert [case.skill for case in in_scope(cases, BEST_HALF)] == [0.4, 0.3]
    assert in_scope(cases, ALL) == cases
    assert in_scope([Case({}, None)], BEST_HALF) == []


def description(**changes: Any) -> dict[str, Any]:
    return {"model": "ridge", "target": "next_candle", "evaluation": EVALUATION, "features": ["a_1"],
            "feature_set": "har+season, in har_range_6, all markets", "lags": 2, "params": {"alpha": 100.0},
            "seeds": [0], **changes}  # fmt: skip


def result(number: int, status: str = "tested", skill: float | None = 0.1, **changes: Any) -> Any:
    case = changes.pop("case_json", json.dumps(description(**changes)))
    return {"case_key": f"k{number}", "finished_at": number, "status": status, "skill": skill, "case_json": case}


def test_a_case_has_its_model_settings_groups_and_the_parameters_of_its_model() -> None:
    factors = factors_of(description(unit="har_range_6", pool="all", weights="inverse_scale"))  # type: ignore[arg-type]
    assert factors == {
        "model": "ridge", "lags": "2", "seeds": "1", "train rows": "all", "weights": "inverse_scale",
        "unit": "har_range_6", "markets learnt": "all", "close": "last", "ridge alpha": "100",
        "group har": "on", "group season": "on",
    }  # fmt: skip
    ensemble = factors_of(description(model="ensemble", members=[{"model": "b"}, {"model": "a"}]))  # type: ignore[arg-type]
    assert ensemble == {"model": "ensemble", "ensemble members": "a + b"}


def test_a_group_is_off_where_another_case_has_it_on_and_constant_factors_are_left_out() -> None:
    found = completed({"1": {"model": "m", "group a": "on", "group b": "on"}, "2": {"model": "m", "group a": "on"}})
    assert found == {"1": {"group b": "on"}, "2": {"group b": "off"}}


def test_only_comparable_cases_take_part_and_failed_ones_have_no_skill() -> None:
    rows = effect_cases(KEY, [
        result(1), result(2, "failed", None, params={"alpha": 1.0}), result(3, target="trade"),
        result(4, evaluation=None), result(5, case_json="{"), result(6, case_json="[]"), result(7, case_json=None),
        result(8, walk_forward={"refit_every": 5}),
    ])  # fmt: skip
    assert [(row["case_key"], row["status"], row["skill"]) for row in rows] == [
        ("k1", "tested", 0.1), ("k2", "failed", None),
    ]  # fmt: skip
    assert json.loads(rows[1]["factors"]) == {"ridge alpha": "1"}
