"""Test cases and search spaces."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.feature_columns import DEFAULT_SPACE
from ml.cases import SearchSpace, enumerate_cases, read_search_spaces
from ml.config import Series
from ml.errors import CaseError
from tests.synthetic import SERIES, make_case

CATALOGUE = {"a_1": "a", "a_2": "a", "b_1": "b", "c_1": "c"}


def _space(**changes: object) -> SearchSpace:
    defaults = {"name": "test", "model": "ridge", "groups": {"a": "on"}}
    return SearchSpace(**{**defaults, **changes})  # type: ignore[arg-type]


def test_ranges_of_2_3_and_2_give_12_cases_and_the_same_again_gives_the_same_keys() -> None:
    space = _space(groups={"a": "on", "b": "both"}, lags=(1, 2, 3), params={"alpha": (0.1, 1.0)})
    keys = [case.key for case in enumerate_cases([space], [SERIES], CATALOGUE)]
    assert len(keys) == len(set(keys)) == 12
    assert [case.key for case in enumerate_cases([space, space], [SERIES], CATALOGUE)] == keys


def test_one_more_value_adds_only_new_cases() -> None:
    small = _space(params={"alpha": (0.1, 1.0)})
    large = _space(params={"alpha": (0.1, 1.0, 10.0)})
    before = {case.key for case in enumerate_cases([small], [SERIES], CATALOGUE)}
    after = {case.key for case in enumerate_cases([large], [SERIES], CATALOGUE)}
    assert before < after
    assert len(after - before) == 1


def test_enumeration_is_lazy() -> None:
    endless = _space(params={f"p{i}": tuple(range(10)) for i in range(9)})
    first = list(itertools.islice(enumerate_cases([endless], [SERIES], CATALOGUE), 3))
    assert len({case.key for case in first}) == 3


def test_groups_and_columns_switch_features() -> None:
    space = _space(groups={"a": "on", "b": "off"}, columns={"a_2": "off", "c_1": "on"})
    (case,) = enumerate_cases([space], [SERIES], CATALOGUE)
    assert case.features == ("a_1", "c_1")
    assert case.feature_set == "a -a_2 +c_1"


def test_a_group_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(CaseError, match="names weather, which the feature catalogue does not have"):
        list(enumerate_cases([_space(groups={"weather": "on"})], [SERIES], CATALOGUE))


def test_a_missing_mandatory_label_is_refused_with_what_is_missing() -> None:
    with pytest.raises(CaseError, match="was high, low: close missing"):
        list(enumerate_cases([_space(labels=("high", "low"))], [SERIES], CATALOGUE))


@pytest.mark.parametrize(
    ("target", "kind"),
    [("closes_100", "path"), ("horizon_summary_30", "summary"), ("highlow2", "events"), ("trade", "classes")],
)
def test_a_target_that_the_model_does_not_learn_is_refused_with_those_that_it_does(target: str, kind: str) -> None:
    message = (
        f"Search space 'test': lstm learns no {kind} targets such as '{target}'. It learns: next_candle; "
        f"models that learn {kind} targets: "
    )
    with pytest.raises(CaseError, match=f"^{message}"):
        list(enumerate_cases([_space(model="lstm", seeds=(0, 1, 2), target=target)], [SERIES], CATALOGUE))


def test_a_model_may_learn_every_target_of_its_kinds() -> None:
    assert make_case(target="horizon_summary_30").target == "horizon_summary_30"
    with pytest.raises(ValidationError, match="Unknown target 'moon'"):
        make_case(target="moon")


def test_keys_of_cases_from_before_walk_forward_stay_as_they_are() -> None:
    # Recorded with the code that had neither train_rows nor walk_forward.
    assert make_case().key == "f4f257d940d8a35d"
    trees = make_case(model="lightgbm", params={"trees": 5}, seeds=(1, 2), lags=3, feature_set="x")
    assert trees.key == "47866aa0cf7528d9"


def test_an_unknown_model_and_an_unknown_switch_are_refused() -> None:
    with pytest.raises(ValidationError, match="Unknown model 'oracle'"):
        make_case(model="oracle")
    with pytest.raises(ValidationError, match="no switch"):
        _space(groups={"a": "maybe"})


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


def test_the_built_in_search_space_is_valid() -> None:
    assert {space.model for space in read_search_spaces(DEFAULT_SPACE)} >= {"ridge", "lightgbm", "lstm"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("x = 1", "no .*space.* table"), ("[[space", "no valid TOML"), ('[[space]]\nname = "x"', "model: Field required")],
)
def test_a_broken_search_space_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(content)
    with pytest.raises(CaseError, match=message):
        read_search_spaces(path)


def test_a_family_that_depends_on_its_seed_needs_several(tmp_path: Path) -> None:
    space = {"name": "x", "model": "lstm", "groups": {"range": "on"}}
    assert SearchSpace(**space, seeds=(0, 1, 2)).seeds == (0, 1, 2)
    for seeds in ({"seeds": (0, 1, 1)}, {}):
        with pytest.raises(ValidationError, match="expected at least 3 different ones"):
            SearchSpace(**space, **seeds)
    (tmp_path / "space.toml").write_text('[[space]]\nname = "x"\nmodel = "lstm"\n[space.groups]\nrange = "on"\n')
    with pytest.raises(CaseError, match=r"seeds: results of lstm depend on the seed: .*, was 1\. Mend that key\."):
        read_search_spaces(tmp_path / "space.toml")
