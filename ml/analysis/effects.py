"""What moved the skill: how much of its spread each factor of the test cases explains.

A forest of regression trees learns the skill of resampled cases from their factors. On the cases that a resample left
out, the values of one factor are exchanged at random among the cases it applies to: half of the growth of the squared
error, as a share of the variance of the skill, is the share that the factor explains, alone and in interaction
with others. A forest that has few cases learns less than there is, so the shares are rather too small than too large.
A factor without effect is around 0, on both sides, also one of many values; factors that come together in
the cases are separated by the trees, which a comparison of means per value cannot do.

Source: Breiman, Random Forests (2001), section 10; the share is the total effect of Sobol, Mathematics and Computers
in Simulation 55 (2001), for independent factors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.analysis.factors import completed, description, factors_of, is_comparable
from ml.analysis.records import Effect, EffectCaseRow, EffectRow, EffectValue, EffectValueRow, OfDataset
from ml.records import ResultRow

#: Fewer tested cases with a value than this: its mean is marked.
FEW = 5
#: Fewer tested cases than this are not ranked.
FEWEST_CASES = 20
#: Latest cases that are analysed, and cases in one resample.
MOST_CASES = 20_000
RESAMPLED = 1_000
RESAMPLES = 30
TREES = 20
#: Cases in a leaf of a tree at least: fewer follow the noise of single cases.
LEAF = 5
ALL, BEST_HALF = "all", "best half"
SCOPES = (ALL, BEST_HALF)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A test case as the effects see it: factor -> value, and its skill, None where it failed."""

    factors: Mapping[str, str]
    skill: float | None


def effect_cases(dataset: OfDataset, results: Sequence[ResultRow]) -> list[EffectCaseRow]:
    """The comparable cases of a dataset, at most the latest `MOST_CASES`, with their factors.

    Args:
        dataset: and its series.
        results: in the order of their arrival (`ml.execution.results.read_results`).
    """
    rows = {row["case_key"]: row for row in list(filter(is_comparable, results))[-MOST_CASES:]}
    found = {key: case for key, row in rows.items() if (case := description(row)) is not None}
    factors = completed({key: factors_of(case) for key, case in found.items()})
    return [
        {
            **dataset,
            "case_key": key,
            "status": rows[key]["status"],
            "skill": rows[key]["skill"] if rows[key]["status"] == "tested" else None,
            "factors": json.dumps(of_case, sort_keys=True),
        }
        for key, of_case in factors.items()
    ]


def cases_of(rows: Sequence[EffectCaseRow]) -> list[Case]:
    """The rows as cases; a skill that is not finite is that of a failed one."""
    return [Case(json.loads(row["factors"]), _finite(row["skill"])) for row in rows]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def matching(cases: Sequence[Case], values: Mapping[str, Collection[str]]) -> list[Case]:
    """The cases that have one of the values of each factor."""
    return [case for case in cases if all(case.factors.get(name) in known for name, known in values.items())]


def in_scope(cases: Sequence[Case], scope: str) -> list[Case]:
    """All cases, or the tested ones whose skill is at least the median."""
    if scope == ALL:
        return list(cases)
    skills = [case.skill for case in cases if case.skill is not None]
    if not skills:
        return []
    middle = float(np.median(skills))
    return [case for case in cases if case.skill is not None and case.skill >= middle]


def effect_tables(dataset: OfDataset, rows: Sequence[EffectCaseRow]) -> tuple[list[EffectRow], list[EffectValueRow]]:
    """Ranked effects and figures per value, of all cases and of their best half."""
    ranked: list[EffectRow] = []
    values: list[EffectValueRow] = []
    for scope in SCOPES:
        cases = in_scope(cases_of(rows), scope)
        ranked += [{**dataset, "scope": scope, **effect} for effect in rank_effects(cases)]
        values += [{**dataset, "scope": scope, **value} for value in effect_values(cases)]
    return ranked, values


def effect_values(cases: Sequence[Case]) -> list[EffectValue]:
    """Mean, interval, best and numbers of tested and failed cases of every value of every factor."""
    found: list[EffectValue] = []
    for factor in sorted({name for case in cases for name in case.factors}):
        of_factor = [case for case in cases if factor in case.factors]
        for place, value in enumerate(ordered({case.factors[factor] for case in of_factor})):
            skills = [case.skill for case in of_factor if case.factors[factor] == value]
            found.append(_of_value(factor, value, place, skills))
    return found


def _of_value(factor: str, value: str, place: int, skills: Sequence[float | None]) -> EffectValue:
    known = np.array([skill for skill in skills if skill is not None])
    mean = float(known.mean()) if len(known) else None
    half = _half_width(known)
    return {
        "factor": factor,
        "value": value,
        "place": place,
        "mean_skill": mean,
        "lower": None if mean is None or half is None else mean - half,
        "upper": None if mean is None or half is None else mean + half,
        "best_skill": float(known.max()) if len(known) else None,
        "n": len(known),
        "n_failed": len(skills) - len(known),
        "is_few": len(known) < FEW,
    }


def _half_width(values: Floats) -> float | None:
    """Half of the 90 % interval of a mean, by Student's t; None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.stats import t  # noqa: PLC0415 - slow to load

    return float(t.ppf(0.95, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def ordered(values: set[str]) -> list[str]:
    """Values of a factor: numbers by size, others by name.

    >>> ordered({"10", "2"}), ordered({"own", "all"})
    (['2', '10'], ['all', 'own'])
    """
    return sorted(values, key=float) if _are_numbers(values) else sorted(values)


def _are_numbers(values: set[str]) -> bool:
    try:
        return all(math.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def rank_effects(cases: Sequence[Case]) -> list[Effect]:
    """Factors by the share of the skill's variance that they explain; none of fewer than `FEWEST_CASES` tested cases.

    Only factors with several values among the tested cases are ranked. Equal cases give equal figures: every draw has
    a seed.
    """
    tested = [case for case in cases if case.skill is not None]
    skills = np.array([case.skill for case in tested], dtype=np.float64)
    if len(tested) < FEWEST_CASES or skills.max() <= skills.min():
        return []
    values = _values(tested)
    order = sorted(name for name, found in values.items() if len(found) > 1)
    if not order:
        return []
    shares = _shares(tested, skills, [_Coded.of(name, tested) for name in order])
    found = [_effect(name, share, cases) for name, share in zip(order, shares.T, strict=True)]
    found.sort(key=lambda effect: (-effect["importance"], effect["factor"]))
    return [{**effect, "rank": rank} for rank, effect in enumerate(found, start=1)]


def _values(cases: Sequence[Case]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for case in cases:
        for name, value in case.factors.items():
            found.setdefault(name, set()).add(value)
    return found


def _effect(name: str, shares: Floats, cases: Sequence[Case]) -> Effect:
    of_factor = [case for case in cases if name in case.factors]
    means = {value["value"]: value["mean_skill"] for value in effect_values([_only(case, name) for case in of_factor])}
    known = {value: mean for value, mean in means.items() if mean is not None}
    best, worst = max(known, key=lambda value: known[value]), min(known, key=lambda value: known[value])
    tested = sum(case.skill is not None for case in of_factor)
    return {
        "factor": name,
        "rank": 0,
        "importance": float(shares.mean()),
        "lower": float(np.quantile(shares, 0.05)),
        "upper": float(np.quantile(shares, 0.95)),
        "n": tested,
        "n_failed": len(of_factor) - tested,
        "n_values": len(known),
        "best_value": best,
        "best_mean": known[best],
        "worst_value": worst,
        "worst_mean": known[worst],
    }


def _only(case: Case, name: str) -> Case:
    return Case({name: case.factors[name]}, case.skill)


@dataclass(frozen=True, eq=False)
class _Coded:
    """A factor as columns (n, c): the rank of a number, or one column per value; rows it does not apply to are -1."""

    columns: Floats
    applies: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, cases: Sequence[Case]) -> _Coded:
        values = [case.factors.get(name) for case in cases]
        known = ordered({value for value in values if value is not None})
        places = np.array([-1 if value is None else known.index(value) for value in values])
        applies = places >= 0
        if _are_numbers(set(known)) or len(known) == 2:
            return cls(places[:, None].astype(np.float64), applies)
        one_hot = (places[:, None] == np.arange(len(known))).astype(np.float64)
        return cls(np.where(applies[:, None], one_hot, -1.0), applies)


def _shares(cases: Sequence[Case], skills: Floats, factors: Sequence[_Coded]) -> Floats:
    """(resamples, factors) shares of the variance, each measured on the cases that a resample left out."""
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - slow to load

    table = np.concatenate([factor.columns for factor in factors], axis=1)
    stops = np.cumsum([factor.columns.shape[1] for factor in factors])
    shares = []
    for number in range(RESAMPLES):
        draw = np.random.default_rng(number)
        chosen = draw.choice(len(cases), size=min(len(cases), RESAMPLED), replace=True)
        left = np.setdiff1d(np.arange(len(cases)), chosen)
        left = draw.choice(left, size=min(len(left), RESAMPLED), replace=False)
        forest = RandomForestRegressor(TREES, min_samples_leaf=LEAF, random_state=number)
        forest.fit(table[chosen], skills[chosen])
        exchanged = [
            _exchanged(table[left], slice(stop - factor.columns.shape[1], stop), factor.applies[left], draw)
            for factor, stop in zip(factors, stops, strict=True)
        ]
        predicted = forest.predict(np.concatenate([table[left], *exchanged])).reshape(len(factors) + 1, len(left))
        errors = np.mean((predicted - skills[left]) ** 2, axis=1)
        shares.append((errors[1:] - errors[0]) / (2 * skills.var()))
    return np.array(shares)


def _exchanged(
    table: Floats, columns: slice, applies: npt.NDArray[np.bool_], draw: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The table with the values of one factor in another order, among the rows that it applies to."""
    changed, rows = table.copy(), np.flatnonzero(applies)
    changed[rows, columns] = table[draw.permutation(rows), columns]
    return changed
