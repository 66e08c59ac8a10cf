"""Ensembles: the mean forecast of the best cases of some models, chosen by the results of a dataset so far.

As with the rungs of a halving, the members are derived from the stored results, so a sweep that was killed or continues
on another machine makes the same cases. An ensemble is a test case like any other: it counts as tried, and its
significance accounts for the selection of its members.

Source: Timmermann, Forecast Combinations (2006): the plain mean is hard to beat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from pydantic import ValidationError

from ml.data.targets import NEXT_CANDLE
from ml.execution.results import result_tables
from ml.search.cases import EVALUATION, FEWEST_MEMBERS, TestCase, ensemble_of
from ml.store import Store

Tested = list[tuple[float, str, TestCase]]


def comparable_cases(store: Store, dataset_id: str) -> Tested:
    """The comparable single cases of a dataset as (skill, key, case), best first; ties are broken by the key."""
    found: dict[str, tuple[float, str, TestCase]] = {}
    for _, table in result_tables(store, dataset_id, ["case_key", "case_json", "status", "skill"]):
        for row in table.to_pylist():
            skill = row["skill"]
            if row["status"] != "tested" or skill is None or not math.isfinite(skill):
                continue
            with suppress(ValidationError, ValueError):  # a model that was removed since, or a forged description
                case = TestCase.model_validate_json(row["case_json"])
                if _is_single(case) and case.key == row["case_key"]:
                    found.setdefault(case.key, (skill, case.key, case))
    return sorted(found.values(), key=lambda one: (-one[0], one[1]))


def _is_single(case: TestCase) -> bool:
    return (case.members, case.target, case.walk_forward, case.evaluation) == (None, NEXT_CANDLE, None, EVALUATION)


def ensembles(sets: Sequence[Sequence[str]], tested: Tested) -> tuple[list[TestCase], list[str]]:
    """The ensemble of each set of members, and the members without a result, whose sets are left out.

    Args:
        sets: names of members: a model takes part with its best case, a key with its case.
        tested: see `comparable_cases`.
    """
    best: dict[str, TestCase] = {}
    for _, key, case in tested:
        best.setdefault(case.model, case)
        best[key] = case
    missing = sorted({name for names in sets for name in names if name not in best})
    known = [{best[name].key: best[name] for name in names} for names in sets if not set(names) & set(missing)]
    # A model and the key of its best case are one member.
    return [ensemble_of(list(members.values())) for members in known if len(members) >= FEWEST_MEMBERS], missing
