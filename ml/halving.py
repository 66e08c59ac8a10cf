"""Successive halving: many cases are tried cheaply, the best share of them again with more effort, and so on.

A rung is no state of its own: a case at a rung is a test case like any other, with that many epochs or train rows in
its description and so with a key of its own. Who goes on is read off the results in the store, so a sweep that was
killed, or goes on elsewhere, decides the same.

Source: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization (2016).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from ml.cases import TestCase
from ml.keys import key_number
from ml.ledger import Ledger
from ml.models import MODELS

if TYPE_CHECKING:
    from ml.case_ranges import CaseRange

#: As few as a test case takes.
FEWEST_TRAIN_ROWS = 100
Rung = Literal["all"] | PositiveInt


class Halving(BaseModel):
    """How many go on, and how much effort each rung is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: float = Field(0.33, gt=0, lt=1, description="Share of the cases of a rung that goes on to the next.")
    rungs: tuple[Rung, ...] = Field(
        description='Ascending: epochs of a neural model, latest train rows ("all" at the end) of any other.',
        min_length=2,
    )

    @field_validator("rungs")
    @classmethod
    def _ascending(cls, rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
        effort = [math.inf if rung == "all" else rung for rung in rungs]
        if any(low >= high for low, high in pairwise(effort)):
            raise ValueError(f"rungs must ascend, was {', '.join(map(str, rungs))}")
        return rungs

    def check_fits(self, models: Sequence[str], targets: Sequence[str], spans: bool, epochs: bool) -> None:
        """Refuse ranges that cannot be compared at a rung, or that the rungs themselves set.

        Raises:
            ValueError: naming what to change.
        """
        if len(models) > 1 or len(targets) > 1:
            raise ValueError("halving: compares cases of one model and one target; give each a space of its own")
        neural = _is_neural(models[0])
        if neural and "all" in self.rungs:
            raise ValueError('halving: rungs of a neural model are epochs; "all" is no number of them')
        if not neural and self.rungs[0] != "all" and self.rungs[0] < FEWEST_TRAIN_ROWS:
            raise ValueError(f"halving: rungs of {models[0]} are train rows, at least {FEWEST_TRAIN_ROWS}")
        if epochs if neural else spans:
            raise ValueError(f"halving: its rungs set {'epochs' if neural else 'train_rows'}; remove that range")

    def sizes(self, first: int) -> list[int]:
        """Cases of each rung at most, the first one having `first`."""
        sizes = [first]
        for _ in self.rungs[1:]:
            sizes.append(self.kept(sizes[-1]))
        return sizes

    def kept(self, n: int) -> int:
        """How many of n go on: the share, rounded up."""
        # Rounded first, so that a third of 3 is not 2 because of the last digit.
        return math.ceil(round(self.keep * n, 9))


def _is_neural(model: str) -> bool:
    return model in MODELS and MODELS[model].kind == "neural"


def at_rung(case: TestCase, rung: Rung) -> TestCase:
    """The case with the effort of a rung."""
    if _is_neural(case.model):
        return case.model_copy(update={"params": {**case.params, "epochs": rung}})
    return case.model_copy(update={"train_rows": None if rung == "all" else rung})


def best(skills: npt.NDArray[np.float64], keys: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.int64]:
    """Places, ascending, of the `count` highest skills (n,) but NaN; equal ones are decided by the key (n,)."""
    order = np.lexsort((keys, -skills))
    order = order[~np.isnan(skills[order])][:count]
    return np.sort(order)


class Contest:
    """The rungs of one search space for one series, as far as the results let them be climbed.

    Attributes:
        pruned: cases that were tested at a decided rung and not continued; counted while `cases` is read.
        unopened: cases at most of the rungs that are not open yet; known when `cases` has been read.
    """

    def __init__(self, cases: CaseRange, halving: Halving, ledger: Ledger) -> None:
        self._range = cases
        self._halving = halving
        self._ledger = ledger
        self.pruned = 0
        self.unopened = 0

    def cases(self) -> Iterator[TestCase]:
        """The cases of all rungs that are open; a rung opens when every case of the one below has a result."""
        entrants = self._range.numbered()
        for height, rung in enumerate(self._halving.rungs):
            skills, keys, entered = array("d"), array("Q"), 0
            numbers: list[int] = []
            for number, case in entrants:
                climbing = at_rung(case, rung)
                yield climbing
                result = self._ledger.find(climbing.key)
                if result is not None and len(numbers) == entered:  # else nothing can be decided, nothing is kept
                    skills.append(result[0])
                    keys.append(key_number(climbing.key))
                    numbers.append(number)
                entered += 1
            if height + 1 == len(self._halving.rungs):
                return
            if len(numbers) < entered:
                self.unopened = sum(self._halving.sizes(entered)[1 : len(self._halving.rungs) - height])
                return
            chosen = [numbers[place] for place in best(np.array(skills), np.array(keys), self._halving.kept(entered))]
            self.pruned += int(np.isfinite(skills).sum()) - len(chosen)
            entrants = self._range.cases_at(chosen)
