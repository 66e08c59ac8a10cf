"""Search spaces: what can be ranged over, and what is refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.warehouse.feature_columns import DEFAULT_SPACE
from ml.errors import CaseError
from ml.search.case_ranges import enumerate_cases
from ml.search.spaces import SearchSpace, read_search_spaces
from tests.conftest import REPOSITORY
from tests.synthetic import CATALOGUE, SERIES, make_space


def test_groups_and_columns_switch_features() -> None:
    space = make_space(groups={"a": "on", "b": "off"}, columns={"a_2": "off", "c_1": "on"})
    (case,) = enumerate_cases([space], [SERIES], CATALOGUE)
    assert case.features == ("a_1", "c_1")
    assert case.feature_set == "a -a_2 +c_1"


def test_a_group_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(CaseError, match="names weather, which the feature catalogue does not have"):
        list(enumerate_cases([make_space(groups={"weather": "on"})], [SERIES], CATALOGUE))


def test_a_missing_mandatory_label_is_refused_with_what_is_missing() -> None:
    with pytest.raises(CaseError, match="was high, low: close missing"):
        list(enumerate_cases([make_space(labels=("high", "low"))], [SERIES], CATALOGUE))


@pytest.mark.parametrize(
    ("model", "target", "kind", "learnt"),
    [
        ("huber", "closes_100", "path", "horizon_summary_30, next_candle"),
        ("logistic", "horizon_summary_30", "summary", "highlow2, topbot2, trade"),
        ("huber", "highlow2", "events", "horizon_summary_30, next_candle"),
        ("lightgbm", "trade", "classes", "horizon_summary_30, next_candle"),
    ],
)
def test_a_target_that_the_model_does_not_learn_is_refused_with_those_that_it_does(
    model: str, target: str, kind: str, learnt: str
) -> None:
    message = (
        f"Search space 'test': {model} learns no {kind} targets such as '{target}'. It learns: {learnt}; "
        f"models that learn {kind} targets: "
    )
    with pytest.raises(CaseError, match=f"^{message}"):
        list(enumerate_cases([make_space(model=model, target=target)], [SERIES], CATALOGUE))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "oracle"}, "Unknown model 'oracle'"),
        ({"groups": {"a": "maybe"}}, "no switch"),
        ({"params": {"lightgbm": {"trees": (1,)}}}, "lightgbm is for a model that this space does not have"),
        ({"train_rows": (0,)}, "greater than 0"),
        ({"sample": 0}, "greater than 0"),
        ({"lags": ()}, "at least 1 item"),
        ({"halving": {"rungs": (500, 100)}}, "rungs must ascend"),
        ({"halving": {"rungs": ("all", 100)}}, "rungs must ascend"),
        ({"halving": {"rungs": (3, 6)}}, "are train rows, at least 100"),
        ({"halving": {"rungs": (100, 200)}, "model": ("ridge", "lightgbm")}, "one model and one target"),
        ({"halving": {"rungs": (100, 200)}, "train_rows": (100,)}, "its rungs set train_rows"),
        ({"halving": {"rungs": (3, "all")}, "model": "lstm", "seeds": (0, 1, 2)}, '"all" is no number'),
        ({"halving": {"rungs": (3, 6)}, "model": "lstm", "seeds": (0, 1, 2), "params": {"epochs": (9,)}}, "set epochs"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_space(**changes)


def test_parameters_under_the_name_of_a_model_are_its_own() -> None:
    space = make_space(
        model=("ridge", "lightgbm"), params={"lightgbm": {"trees": (5, 6)}, "ridge": {"alpha": (1.0, 2.0, 3.0)}}
    )
    cases = list(enumerate_cases([space], [SERIES], CATALOGUE))
    assert [(case.model, case.params) for case in cases] == [
        ("ridge", {"alpha": 1.0}),
        ("ridge", {"alpha": 2.0}),
        ("ridge", {"alpha": 3.0}),
        ("lightgbm", {"trees": 5}),
        ("lightgbm", {"trees": 6}),
    ]


def test_seeds_are_one_set_or_several() -> None:
    assert make_space(seeds=(0, 1, 2)).seeds == ((0, 1, 2),)
    space = make_space(seeds=((0, 1), (2, 3), (0, 1)))
    assert [case.seeds for case in enumerate_cases([space], [SERIES], CATALOGUE)] == [(0, 1), (2, 3)]


def test_the_built_in_search_space_is_valid() -> None:
    assert {model for space in read_search_spaces(DEFAULT_SPACE) for model in space.model} >= {"ridge", "lstm"}


def test_the_search_spaces_of_the_readme_are_valid() -> None:
    section = (REPOSITORY / "README.md").read_text().partition("## Search spaces")[2].partition("\n## ")[0]
    wide, halved = (tomllib.loads(text)["space"] for text in re.findall(r"```toml\n(.*?)```", section, re.DOTALL))
    assert SearchSpace(**wide[0]).sample == 200
    assert SearchSpace(name="x", model="ridge", **halved).halving is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", "no .*space.* table"),
        ("[[space", "no valid TOML"),
        ('[[space]]\nname = "x"', "model: Field required"),
        ('[[space]]\nname = "x"\nmodel = "ridge"\ngroups = {}\nweather = 1', "weather: Extra inputs"),
    ],
)
def test_a_broken_search_space_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(content)
    with pytest.raises(CaseError, match=message):
        read_search_spaces(path)


def test_a_family_that_depends_on_its_seed_needs_several(tmp_path: Path) -> None:
    space: dict[str, Any] = {"name": "x", "model": "lstm", "groups": {"range": "on"}}
    assert SearchSpace(**space, seeds=(0, 1, 2)).seeds == ((0, 1, 2),)
    for seeds in ({"seeds": (0, 1, 1)}, {}):
        with pytest.raises(ValidationError, match="expected at least 3 different ones"):
            SearchSpace(**space, **seeds)
    (tmp_path / "space.toml").write_text('[[space]]\nname = "x"\nmodel = "lstm"\n[space.groups]\nrange = "on"\n')
    with pytest.raises(CaseError, match=r"seeds: results of lstm depend on the seed: .*, was 1\. Mend that key\."):
        read_search_spaces(tmp_path / "space.toml")
