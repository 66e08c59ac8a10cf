"""Planted results: test cases whose skill depends on one factor only."""

from __future__ import annotations

import numpy as np

from ml.analysis.effects import Case

TRUTH = "group planted"


def planted(seed: int, n: int = 200, effect: float = 0.02, noise: float = 0.02) -> list[Case]:
    """Cases of ten factors: one moves the skill, one mostly comes with it, one has 60 values, seven are noise."""
    draw = np.random.default_rng(seed)
    cases = []
    for _ in range(n):
        on = bool(draw.random() < 0.5)
        together = on if draw.random() < 0.85 else not on
        factors = {
            TRUTH: "on" if on else "off",
            "companion": "yes" if together else "no",
            "many": str(draw.integers(60)),
            "model": str(draw.choice(["lightgbm", "mlp", "ridge"])),
            **{f"noise {number}": str(draw.integers(3)) for number in range(6)},
        }
        cases.append(Case(factors, effect * on + noise * float(draw.standard_normal())))
    return cases


def shares_of_means(cases: list[Case]) -> dict[str, float]:
    """The simplest ranking: share of the variance between the means of the values, one-way omega squared."""
    skills = np.array([case.skill for case in cases], dtype=float)
    total = ((skills - skills.mean()) ** 2).sum()
    found = {}
    for factor in cases[0].factors:
        values = np.array([case.factors[factor] for case in cases])
        groups = [skills[values == value] for value in np.unique(values)]
        between = sum(len(group) * (group.mean() - skills.mean()) ** 2 for group in groups)
        within = (total - between) / (len(skills) - len(groups))
        found[factor] = float((between - (len(groups) - 1) * within) / (total + within))
    return found
