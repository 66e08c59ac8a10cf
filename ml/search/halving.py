"""Successive halving: many cases are evaluated with few resources, the best share of them again with more, and so on.

A rung needs no state: a case at a rung is a test case like any other, with the epochs or train rows of the rung in its
description and thus in its key. Which cases are continued is derived from the stored results, so a sweep that was
killed, or continues on another machine, decides the same.

Source: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization (2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from ml.models import MODELS
from ml.search.cases import TestCase

#: The minimum of a test case.
FEWEST_TRAIN_ROWS = 100
Rung = Literal["all"] | PositiveInt


class Halving(BaseModel):
    """The share of cases that continue, and the resources of each rung."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: float = Field(0.33, gt=0, lt=1, description="Share of the cases of a rung that continue to the next.")
    rungs: tuple[Rung, ...] = Field(
        description='Ascending: epochs of a neural model, latest train rows ("all" may be last) of any other.',
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
        """Refuse ranges whose cases are not comparable at a rung, or that the rungs themselves set.

        Raises:
            ValueError: naming the change needed.
        """
        if len(models) > 1 or len(targets) > 1:
            raise ValueError("halving: compares cases of one model and one target; give each a space of its own")
        neural = _is_neural(models[0])
        if neural and "all" in self.rungs:
            raise ValueError('halving: rungs of a neural model are epochs; "all" is not a number of epochs')
        if not neural and self.rungs[0] != "all" and self.rungs[0] < FEWEST_TRAIN_ROWS:
            raise ValueError(f"halving: rungs of {models[0]} are train rows, at least {FEWEST_TRAIN_ROWS}")
        if epochs if neural else spans:
            raise ValueError(f"halving: its rungs set {'epochs' if neural else 'train_rows'}; remove that range")

    def sizes(self, first: int) -> list[int]:
        """Upper bound of the cases of each rung, given `first` at the first."""
        sizes = [first]
        for _ in self.rungs[1:]:
            sizes.append(self.kept(sizes[-1]))
        return sizes

    def kept(self, n: int) -> int:
        """Number of n cases that continue: the share, rounded up."""
        # Rounded first, so that a third of 3 is not 2 because of floating-point error.
        return math.ceil(round(self.keep * n, 9))


def _is_neural(model: str) -> bool:
    return model in MODELS and MODELS[model].kind == "neural"


def at_rung(case: TestCase, rung: Rung) -> TestCase:
    """The case with the epochs or train rows of a rung."""
    if _is_neural(case.model):
        return case.model_copy(update={"params": {**case.params, "epochs": rung}})
    return case.model_copy(update={"train_rows": None if rung == "all" else rung})
