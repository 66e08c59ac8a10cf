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
from ml.models import MODELS
from ml.search.case_ranges import CaseRange, enumerate_cases
from ml.search.spaces import SearchSpace, read_search_spaces
from tests.conftest import REPOSITORY
from tests.synthetic import CATALOGUE, SERIES, make_space


def test_groups_and_columns_switch_features() -> None:
    space = make_space(groups={"a": "on", "b": "off"}, columns={"a_2": "off", "c_1": "on"})
    (case,) = enumerate_cases([space], [SERIES], CATALOGUE)
    assert case.features == ("a_1", "c_1")
    assert case.feature_set == "a -a_2 +c_1"


def test_groups_and_columns_that_are_not_in_the_catalogue_are_refused_with_what_was_meant() -> None:
    catalogue = {"range_high": "range", "roc_12": "roc"}
    space = make_space(groups={"rang": "on", "weather": "on"}, columns={"roc_21": "on"})
    with pytest.raises(CaseError) as raised:
        list(enumerate_cases([space], [SERIES], catalogue))
    assert str(raised.value).splitlines() == [
        "Feature catalogue has 3 faults:",
        "Search space 'test': Unknown group 'rang'. Did you mean 'range'? `candleworks features` lists all.",
        "Search space 'test': Unknown group 'weather'. `candleworks features` lists all.",
        "Search space 'test': Unknown column 'roc_21'. Did you mean 'roc_12'? `candleworks features` lists all.",
    ]


@pytest.mark.parametrize(
    "off", [{"groups": {}}, {"groups": {"a": "off"}}, {"columns": {"a_1": "off", "a_2": "off"}}], ids=str
)
def test_a_space_that_yields_no_case_is_refused(off: dict[str, Any]) -> None:
    with pytest.raises(CaseError, match="'test': No group or column is on, but ridge learns from features"):
        list(enumerate_cases([make_space(**off)], [SERIES], CATALOGUE))
    assert list(enumerate_cases([make_space(**off, model="last_candle")], [SERIES], CATALOGUE))


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
    message = f"{model} learns no {kind} targets such as '{target}'. It learns: {learnt}; models that learn {kind} targ"
    with pytest.raises(ValidationError, match=message):
        make_space(model=model, target=target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "oracle"}, "Unknown model 'oracle'"),
        ({"groups": {"a": "maybe"}}, "not a switch"),
        ({"labels": ("high", "low")}, "was high, low: close missing"),
        ({"params": {"lightgbm": {"trees": (1,)}}}, "Unknown model of this space 'lightgbm'. There are: ridge"),
        ({"train_rows": (0,)}, "greater than or equal to 100"),
        ({"sample": 0}, "greater than 0"),
        ({"lags": ()}, "at least 1 item"),
        ({"halving": {"rungs": (500, 100)}}, "rungs must ascend"),
        ({"halving": {"rungs": ("all", 100)}}, "rungs must ascend"),
        ({"halving": {"rungs": (3, 6)}}, "are train rows, at least 100"),
        ({"halving": {"rungs": (100, 200)}, "model": ("ridge", "lightgbm")}, "one model and one target"),
        ({"halving": {"rungs": (100, 200)}, "train_rows": (100,)}, "its rungs set train_rows"),
        ({"halving": {"rungs": (3, "all")}, "model": "lstm", "seeds": (0, 1, 2)}, '"all" is not a number'),
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
        ("lightgbm", {**MODELS["lightgbm"].parameters().model_dump(), "trees": 5}),
        ("lightgbm", {**MODELS["lightgbm"].parameters().model_dump(), "trees": 6}),
    ]


def test_seeds_are_one_set_or_several() -> None:
    assert make_space(seeds=(0, 1, 2)).seeds == ((0, 1, 2),)
    assert make_space(seeds=4).seeds == ((4,),)
    space = make_space(model="lightgbm", seeds=((0, 1), (2, 3), (0, 1)))
    assert [case.seeds for case in enumerate_cases([space], [SERIES], CATALOGUE)] == [(0, 1), (2, 3)]


def test_the_built_in_search_space_is_valid() -> None:
    assert {model for space in read_search_spaces(DEFAULT_SPACE) for model in space.model} >= {
        "ridge",
        "mlp",
        "ensemble",
    }


def test_the_search_spaces_of_the_readme_are_valid() -> None:
    section = (REPOSITORY / "ml/README.md").read_text().partition("## Search spaces")[2].partition("\n## ")[0]
    wide, halved = (tomllib.loads(text)["space"] for text in re.findall(r"```toml\n(.*?)```", section, re.DOTALL))
    assert SearchSpace(**wide[0]).sample == 200
    assert SearchSpace(name="x", model="ridge", **halved).halving is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", "no .*space.* table"),
        ("space = []", "no .*space.* table"),
        ("space = [1]", "no .*space.* table"),
        ("[[space", "not valid TOML"),
        ('[[space]]\nname = "x"', "Search space 'x': model: Field required"),
        ('[[space]]\nmodel = "ridge"', "Search space 1: name: Field required"),
        ('[[space]]\nname = "x"\nmodel = "ridge"\nlag = 1', "'x': Unknown key 'lag'. Did you mean 'lags'"),
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
    with pytest.raises(CaseError, match=r"'x': seeds: results of lstm depend on the seed: .*, was 1\.$"):
        read_search_spaces(tmp_path / "space.toml")


FIVE_TYPOS = """
[[space]]
name = "mine"
model = "lightgbm"
timeframe = "1h"
target = "next_cadle"
seeds = 0
[space.groups]
range = "yes"
[space.params]
tree = [50, 100]
leaves = "15"
"""


def test_all_faults_of_a_file_are_told_at_once_each_on_a_line(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(FIVE_TYPOS + FIVE_TYPOS.replace("mine", "yours").replace("lightgbm", "lightgmb"))
    with pytest.raises(CaseError) as raised:
        read_search_spaces(path)
    takes = "It takes: learning_rate, leaves, minimal_rows_in_leaf, trees."
    targets = "There are: closes_100, highlow2, horizon_summary_30, next_candle, topbot2, trade."
    lines = str(raised.value).splitlines()
    assert lines[:6] == [
        f"{path} has 9 faults:",
        "Search space 'mine': groups: range = 'yes' is not a switch. Use on, off or both.",
        f"Search space 'mine': target: Unknown target 'next_cadle'. Did you mean 'next_candle'? {targets}",
        f"Search space 'mine': params: lightgbm has no parameter 'tree'. Did you mean 'trees'? {takes}",
        "Search space 'mine': params: lightgbm: leaves = '15': input should be a valid integer.",
        "Search space 'mine': Unknown key 'timeframe'. Did you mean 'timeframes'?",
    ]
    assert "Search space 'yours': model: Unknown model 'lightgmb'. Did you mean 'lightgbm'?" in lines[6]
    assert any("'yours': target: Unknown target 'next_cadle'" in line for line in lines[7:])


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("ridge", {"alpha": -1}, "ridge: alpha = -1: input should be greater than or equal to 0"),
        ("ridge", {"alpha": float("nan")}, "alpha = nan: input should be a finite number"),
        ("ridge", {"alpha": True}, "alpha = True: input should be a valid number"),
        ("lightgbm", {"trees": 2.5}, "trees = 2.5: input should be a valid integer"),
        ("lightgbm", {"trees": (10, 0)}, "trees = 0: input should be greater than or equal to 1"),
        ("naive_bayes", {"calibrated": 1}, "calibrated = 1: input should be a valid boolean"),
        ("extra_trees", {"rows": 0.5}, "extra_trees has no parameter 'rows'"),
        ("random_forest", {"columns": 1.5}, "columns = 1.5: input should be less than or equal to 1"),
        ("ridge", {"seed": 1}, "ridge has no parameter 'seed'"),
        ("ridge", {"alpha": ()}, "at least 1 item"),
        ("ridge", {"alpha": ("1",)}, "alpha = '1': input should be a valid number"),
    ],
)
def test_a_parameter_of_another_name_type_or_range_is_refused(model: str, params: dict[str, Any], message: str) -> None:
    target = "trade" if model == "naive_bayes" else "next_candle"
    with pytest.raises(ValidationError, match=message):
        make_space(model=model, target=target, params=params)


def test_a_single_value_stands_for_a_list_of_one() -> None:
    single = make_space(symbols="BTC/USDT", timeframes="1h", lags=3, train_rows=500, params={"alpha": 2})
    listed = make_space(
        symbols=("BTC/USDT",), timeframes=("1h",), lags=(3,), train_rows=(500,), params={"alpha": (2.0,)}
    )
    assert [case.key for case in enumerate_cases([single], [SERIES], CATALOGUE)] == [
        case.key for case in enumerate_cases([listed], [SERIES], CATALOGUE)
    ]


def test_values_of_a_range_that_are_one_fit_are_one_case() -> None:
    space = make_space(seeds=((0,), (1,)), params={"alpha": (1, 1.0, 2)})
    assert CaseRange(space, SERIES, CATALOGUE).size == len(list(enumerate_cases([space], [SERIES], CATALOGUE))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": "BTC"}, "symbols"),
        ({"timeframes": "60m"}, "Unknown timeframe '60m'. There are: |Did you mean"),
        ({"lags": (1, 501)}, "less than or equal to 500"),
        ({"model": "chart_cnn", "seeds": (0, 1, 2), "lags": 201}, "chart_cnn takes 200 lags at most, was 201"),
    ],
)
def test_symbols_timeframes_and_windows_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_space(**changes)
