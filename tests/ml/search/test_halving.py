"""Successive halving: who goes on is read off the results, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from ml.execution.halving import Rungs, best
from ml.execution.result_index import ResultIndex
from ml.search.case_ranges import CaseRange
from ml.search.cases import TestCase
from ml.search.halving import Halving, at_rung
from ml.search.keys import key_number
from tests.synthetic import CATALOGUE, SERIES, make_case, make_space

EPOCHS = make_space(
    model="lstm",
    seeds=(0, 1, 2),
    params={"units": (1, 2, 3, 4, 5, 6, 7, 8, 9)},
    halving={"keep": 1 / 3, "rungs": (3, 6, 12)},
)


def ledger_of(skills: Mapping[str, float]) -> ResultIndex:
    """What the store would hold; NaN is a failed case."""
    numbers = np.array([key_number(key) for key in skills], dtype=np.uint64)
    values = np.array(list(skills.values()), dtype=np.float64)
    order = np.argsort(numbers)
    return ResultIndex(numbers[order], values[order], np.isnan(values)[order])


class Play:
    """A sweep that does all open cases of the open rungs in rounds; a case's skill is its number of units."""

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        self.skills: dict[str, float] = {}
        self.failing = failing

    def open(self) -> tuple[Rungs, list[TestCase]]:
        rungs = Rungs(CaseRange(EPOCHS, SERIES, CATALOGUE), Halving(keep=1 / 3, rungs=(3, 6, 12)), self.index())
        return rungs, list(rungs.cases())

    def index(self) -> ResultIndex:
        return ledger_of(self.skills)

    def do(self, cases: list[TestCase]) -> None:
        for case in cases:
            units = int(case.params["units"])
            self.skills[case.key] = math.nan if units in self.failing else float(units)


def numbers_of(cases: list[TestCase]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for case in cases:
        found.setdefault(int(case.params["epochs"]), []).append(int(case.params["units"]))
    return found


def test_the_best_share_goes_on_from_rung_to_rung() -> None:
    play = Play()
    rungs, cases = play.open()
    assert numbers_of(cases) == {3: list(range(1, 10))}
    assert (rungs.pruned, rungs.unopened) == (0, 3 + 1)
    play.do(cases)
    rungs, cases = play.open()
    assert numbers_of(cases) == {3: list(range(1, 10)), 6: [7, 8, 9]}
    assert (rungs.pruned, rungs.unopened) == (6, 1)
    play.do(cases)
    rungs, cases = play.open()
    assert numbers_of(cases) == {3: list(range(1, 10)), 6: [7, 8, 9], 12: [9]}
    assert (rungs.pruned, rungs.unopened) == (8, 0)
    assert len({case.key for case in cases}) == CaseRange(EPOCHS, SERIES, CATALOGUE).size == 13


def test_a_rung_opens_only_when_every_case_below_has_a_result() -> None:
    play = Play()
    cases = play.open()[1]
    play.do(cases[:-1])
    assert numbers_of(play.open()[1]) == {3: list(range(1, 10))}
    play.do(cases[-1:])
    assert 6 in numbers_of(play.open()[1])


def test_a_halving_does_not_depend_on_the_order_of_the_results() -> None:
    forward, backward = Play(), Play()
    forward.do(forward.open()[1])
    backward.do(backward.open()[1][::-1])
    assert [case.key for case in forward.open()[1]] == [case.key for case in backward.open()[1]]


def test_a_failed_case_does_not_go_on() -> None:
    play = Play(failing=frozenset({9, 8}))
    play.do(play.open()[1])
    assert numbers_of(play.open()[1])[6] == [5, 6, 7]
    lost = Play(failing=frozenset(range(1, 10)))
    lost.do(lost.open()[1])
    rungs, cases = lost.open()
    assert numbers_of(cases) == {3: list(range(1, 10))}
    assert (rungs.pruned, rungs.unopened) == (0, 0)


def test_equal_skills_are_decided_by_the_key() -> None:
    skills, keys = np.array([0.5, 0.7, 0.5, np.nan]), np.array([4, 3, 2, 1], dtype=np.uint64)
    assert best(skills, keys, 2).tolist() == [1, 2]
    assert best(skills, keys, 9).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("n", "kept"), [(1, 1), (2, 1), (3, 1), (4, 2), (9, 3), (10, 4)])
def test_a_third_is_rounded_up(n: int, kept: int) -> None:
    assert Halving(keep=1 / 3, rungs=(1, 2)).kept(n) == kept


def test_a_rung_is_epochs_for_networks_and_train_rows_for_the_others() -> None:
    assert at_rung(make_case(model="lstm", seeds=(0, 1, 2)), 6).params["epochs"] == 6
    cases = [at_rung(make_case(), rung) for rung in (500, 2000, "all")]
    assert [case.train_rows for case in cases] == [500, 2000, None]
    assert cases[2].key == make_case().key
    assert len({case.key for case in cases}) == 3
