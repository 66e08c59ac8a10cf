"""Test cases."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.canonical import canonical_json
from ml.data.targets import TARGETS
from ml.models import ENSEMBLE, MODELS
from ml.search.cases import EVALUATION, TestCase
from ml.series import Series
from tests.synthetic import make_case


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="Unknown model 'oracle'"):
        make_case(model="oracle")


def test_a_model_may_learn_every_target_of_its_kinds() -> None:
    assert make_case(target="horizon_summary_30").target == "horizon_summary_30"
    with pytest.raises(ValidationError, match="Unknown target 'moon'"):
        make_case(target="moon")


def test_keys_are_those_of_the_recorded_descriptions() -> None:
    # Recorded when parameters were first filled in: a change of any default or field would be another case for all.
    trees: dict[str, object] = {"model": "lightgbm", "params": {"trees": 5}, "seeds": (1, 2), "lags": 3}
    assert (make_case().key, make_case(**trees, feature_set="x").key) == ("2de49b654dba1d33", "f315c814d08fb0c8")
    # Of the first version of the evaluation, which had no field for it.
    first: dict[str, object] = {"evaluation": None}
    assert (make_case(**first).key, make_case(**trees, **first).key) == ("c4c29aae262ff39f", "4e6162ba568db6fb")


def test_targets_without_versions_of_the_evaluation_keep_their_keys() -> None:
    summary: dict[str, object] = {"target": "horizon_summary_30", "features": ("range_6",)}
    assert make_case(**summary, evaluation=EVALUATION).key == make_case(**summary, evaluation=None).key


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({}, [{"params": {"alpha": 1}}, {"params": {"alpha": 1.0}}, {"seeds": (3, 4)}]),
        ({"features": ("a", "b")}, [{"features": ("b", "a")}, {"features": ["a", "b", "a"]}]),
        (
            {"model": "lightgbm", "seeds": (1, 2)},
            [{"model": "lightgbm", "seeds": (2, 1, 2), "params": {"trees": 150.0}}],
        ),
        ({"model": "last_candle"}, [{"model": "last_candle", "features": ("x",), "seeds": (9,), "params": {}}]),
        ({"model": "rbf_svm", "target": "trade"}, [{"model": "rbf_svm", "target": "trade", "params": {"c": 1}}]),
    ],
)
def test_one_fit_has_one_key(one: dict[str, object], same: list[dict[str, object]]) -> None:
    assert {make_case(**other).key for other in same} == {make_case(**one).key}
    again = TestCase(**json.loads(canonical_json(make_case(**one).content())))
    assert again == make_case(**one)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {ENSEMBLE}))
def test_a_case_of_every_family_has_all_its_parameters(name: str) -> None:
    family = MODELS[name]
    target = next(target for target, kind in TARGETS.items() if kind.kind in family.kinds)
    case = make_case(model=name, target=target, seeds=(2, 0, 1))
    assert case.params == family.parameters().model_dump(exclude_none=True)
    assert case.seeds == ((0, 1, 2) if family.takes_seed else (0,))


def test_the_key_ignores_the_name_of_the_feature_set_and_sees_everything_else() -> None:
    case = make_case()
    assert make_case(feature_set="another name").key == case.key
    other = Series(exchange="test", symbol="ETH/USDT", timeframe="1h")
    changes: list[dict[str, object]] = [
        {"lags": 2},
        {"params": {"alpha": 2.0}},
        {"model": "lightgbm"},
        {"model": "lightgbm", "seeds": (1,)},
        {"features": ("range_6",)},
        {"series": other},
        {"train_fraction": 0.5},
        {"train_rows": 500},
        {"walk_forward": {"refit_every": 10}},
        {"walk_forward": {"refit_every": 10, "rolling": True}},
    ]
    keys = {make_case(**change).key for change in changes}
    assert len(keys | {case.key}) == len(changes) + 1


@given(st.permutations(["trees", "leaves", "minimal_rows_in_leaf"]))
def test_the_key_is_free_of_the_order_of_parameters(names: list[str]) -> None:
    assert (
        make_case(model="lightgbm", params=dict.fromkeys(names, 7)).key
        == make_case(model="lightgbm", params={"trees": 7, "leaves": 7, "minimal_rows_in_leaf": 7}).key
    )


def test_a_changed_copy_has_a_key_of_its_own() -> None:
    case = make_case(lags=2)
    key = case.key
    assert case.model_copy(update={"lags": 3}).key == make_case(lags=3).key != key
    assert make_case(evaluation=None).at_present().key == make_case(close=None).key
