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
    ]
    keys = {make_case(**change).key for change in changes}
    assert len(keys | {case.key}) == len(changes) + 1


@given(st.permutations(["alpha", "beta", "gamma"]))
def test_the_key_is_free_of_the_order_of_parameters(names: list[str]) -> None:
    assert (
        make_case(params=dict.fromkeys(names, 1.0)).key
        == make_case(params={"alpha": 1.0, "beta": 1.0, "gamma": 1.0}).key
    )
