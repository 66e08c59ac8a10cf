"""Test cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.config import Series
from tests.synthetic import make_case


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="Unknown model 'oracle'"):
        make_case(model="oracle")


def test_a_model_may_learn_every_target_of_its_kinds() -> None:
    assert make_case(target="horizon_summary_30").target == "horizon_summary_30"
    with pytest.raises(ValidationError, match="Unknown target 'moon'"):
        make_case(target="moon")


def test_keys_of_cases_from_before_walk_forward_stay_as_they_are() -> None:
    # Recorded with the code that had neither train_rows nor walk_forward.
    assert make_case().key == "f4f257d940d8a35d"
    trees = make_case(model="lightgbm", params={"trees": 5}, seeds=(1, 2), lags=3, feature_set="x")
    assert trees.key == "47866aa0cf7528d9"


def test_the_key_ignores_the_name_of_the_feature_set_and_sees_everything_else() -> None:
    case = make_case()
    assert make_case(feature_set="another name").key == case.key
    other = Series(exchange="test", symbol="ETH/USDT", timeframe="1h")
    changes: list[dict[str, object]] = [
        {"lags": 2},
        {"params": {"alpha": 2.0}},
        {"seeds": (1,)},
        {"features": ("range_6",)},
        {"series": other},
        {"train_fraction": 0.5},
        {"train_rows": 500},
        {"walk_forward": {"refit_every": 10}},
        {"walk_forward": {"refit_every": 10, "rolling": True}},
    ]
    keys = {make_case(**change).key for change in changes}
    assert len(keys | {case.key}) == len(changes) + 1


@given(st.permutations(["alpha", "beta", "gamma"]))
def test_the_key_is_free_of_the_order_of_parameters(names: list[str]) -> None:
    assert (
        make_case(params=dict.fromkeys(names, 1.0)).key
        == make_case(params={"alpha": 1.0, "beta": 1.0, "gamma": 1.0}).key
    )
