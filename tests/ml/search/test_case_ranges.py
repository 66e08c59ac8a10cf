"""Case ranges: every combination once, lazily, and a sample without a list to draw from."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.search.case_ranges import CaseRange, enumerate_cases
from ml.search.sampling import shuffled
from ml.search.spaces import SearchSpace
from ml.series import Series
from tests.synthetic import CATALOGUE, SERIES, make_space

RATES = tuple(0.01 * number for number in range(1, 11))
ENDLESS = make_space(
    model="lightgbm",
    lags=tuple(range(1, 101)),
    params={
        "learning_rate": RATES,
        "leaves": tuple(range(2, 1002)),
        "trees": tuple(range(1, 1001)),
        "minimal_rows_in_leaf": tuple(range(1, 1001)),
    },
)


def keys(*spaces: SearchSpace) -> list[str]:
    return [case.key for case in enumerate_cases(spaces, [SERIES], CATALOGUE)]


def test_ranges_of_2_3_and_2_give_12_cases_and_the_same_again_gives_the_same_keys() -> None:
    space = make_space(groups={"a": "on", "b": "both"}, lags=(1, 2, 3), params={"alpha": (0.1, 1.0)})
    assert len(keys(space)) == len(set(keys(space))) == CaseRange(space, SERIES, CATALOGUE).size == 12
    assert keys(space, space) == keys(space)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ({"params": {"alpha": (0.1, 1.0)}}, {"params": {"alpha": (0.1, 1.0, 10.0)}}),
        ({"lags": (1,)}, {"lags": (1, 2)}),
        ({"groups": {"a": "on"}}, {"groups": {"a": "on", "b": "both"}}),
        ({"columns": {"c_1": "off"}}, {"columns": {"c_1": "both"}}),
        ({"model": "lightgbm", "seeds": (0,)}, {"model": "lightgbm", "seeds": ((0,), (1,))}),
        ({"model": "ridge"}, {"model": ("ridge", "lightgbm")}),
        ({"target": "next_candle"}, {"target": ("next_candle", "horizon_summary_30")}),
        ({}, {"train_rows": ("all", 2000, 4000)}),
        ({}, {"walk_forward": ("off", {"refit_every": 100}, {"refit_every": 200})}),
    ],
)
def test_one_more_value_in_any_range_adds_only_new_cases(smaller: dict[str, object], larger: dict[str, object]) -> None:
    before, after = set(keys(make_space(**smaller))), set(keys(make_space(**larger)))
    assert before < after
    assert len(after) > len(before)


def test_the_first_value_of_a_new_range_is_the_case_as_it_was() -> None:
    assert keys(make_space(train_rows=("all",), walk_forward=("off",))) == keys(make_space())


def test_a_space_is_for_the_series_that_it_names() -> None:
    other = Series(exchange="test", symbol="ETH/USDT", timeframe="4h")
    for limits in ({"symbols": ("BTC/USDT",)}, {"timeframes": ("1h",)}):
        cases = enumerate_cases([make_space(**limits)], [SERIES, other], CATALOGUE)
        assert [case.series for case in cases] == [SERIES]


def test_a_combination_without_any_feature_is_no_case() -> None:
    space = make_space(groups={"a": "both", "b": "both"})
    assert [case.feature_set for case in enumerate_cases([space], [SERIES], CATALOGUE)] == ["a+b", "a", "b"]


def test_a_space_larger_than_any_memory_is_counted_and_begun_at_once() -> None:
    tracemalloc.start()
    cases = CaseRange(ENDLESS, SERIES, CATALOGUE)
    assert cases.combinations == 10**12
    assert len({case.key for _, case in itertools.islice(cases.numbered(), 500)}) == 500
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_every_number_is_another_combination() -> None:
    space = make_space(model=("ridge", "lightgbm"), groups={"a": "on", "b": "both"}, lags=(1, 2, 3))
    cases = CaseRange(space, SERIES, CATALOGUE)
    made = [cases.case(number) for number in range(cases.combinations)]
    assert len({case.key for case in made if case}) == 12
    with pytest.raises(IndexError):
        cases.case(12)


def test_a_sample_is_random_without_repetition_and_the_same_for_the_same_seed() -> None:
    sample = ENDLESS.model_copy(update={"sample": 200})
    drawn = keys(sample)
    assert len(set(drawn)) == len(drawn) == CaseRange(sample, SERIES, CATALOGUE).size == 200
    assert keys(sample) == drawn
    assert not set(keys(sample.model_copy(update={"sample_seed": 1}))) & set(drawn)
    # A larger sample goes on where the smaller one ends.
    assert keys(ENDLESS.model_copy(update={"sample": 250}))[:200] == drawn


def test_a_sample_takes_every_value_of_a_range_about_equally_often() -> None:
    sample = ENDLESS.model_copy(update={"sample": 1000})
    values = [case.params["learning_rate"] for case in enumerate_cases([sample], [SERIES], CATALOGUE)]
    # 100 each, with a standard deviation of 9.5.
    assert all(60 <= values.count(value) <= 140 for value in RATES)


def test_a_sample_larger_than_its_space_is_the_space() -> None:
    space = make_space(groups={"a": "both", "b": "both"}, lags=(1, 2))
    assert sorted(keys(space.model_copy(update={"sample": 99}))) == sorted(keys(space))


@given(st.integers(1, 600), st.integers(0, 10**9))
def test_shuffled_numbers_are_a_permutation(size: int, seed: int) -> None:
    assert sorted(shuffled(size, seed)) == list(range(size))
