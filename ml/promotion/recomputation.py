"""Recomputation: nothing is believed that a result claims, before the coordinator has computed it once more."""

from __future__ import annotations

import json

import numpy as np

from ml.evaluation.evaluate import Evaluation
from ml.promotion.rules import Result, day_numbers
from ml.search.cases import TestCase

#: Largest difference between a claim and its recomputation, of an error relative to it: other machines round otherwise.
VERIFICATION_TOLERANCE = 1e-3

#: What a result has to say before anybody looks at it closer.
CLAIMED = (
    "case_key",
    "case_json",
    "model",
    "worker",
    "baseline",
    "n_validation",
    "skill",
    "skill_mean_range",
    "rmse_pct",
)
_DAILY = ("loss_day", "loss_model", "loss_baseline")


def is_whole(result: Result) -> bool:
    """Whether a result claims something that can be evaluated at all: nothing is missing, and every day has its losses.

    Whoever may write results can write any; one that is broken must not stop the others from being evaluated.
    """
    if any(result.get(name) is None for name in (*CLAIMED, *_DAILY)):
        return False
    if len({len(result[name]) for name in _DAILY}) != 1 or any(None in result[name] for name in _DAILY):
        return False
    try:
        case = json.loads(result["case_json"])
    except ValueError:
        return False
    return isinstance(case, dict) and "target" in case


def verification_failure(challenger: Result, case: TestCase, evaluation: Evaluation) -> str | None:
    """What a result claims that is not so, of everything it was evaluated on; None when all of it is true.

    Args:
        challenger: a row of the results, made by a worker that need not be trusted.
        case: the case that the row describes.
        evaluation: that case, evaluated here.
    """
    exact = (
        ("case_key", challenger["case_key"], case.key),
        ("model", challenger["model"], case.model),
        ("baseline", challenger["baseline"], evaluation.baseline),
        ("n_validation", challenger["n_validation"], evaluation.n_validation),
        ("loss_day", day_numbers(challenger), evaluation.days),
    )
    for name, said, found in exact:
        if said != found:
            return f"another {name} than the recomputed one"
    for name in ("rmse_pct", "baseline_rmse_pct", "skill", "skill_mean_range"):
        claimed, true = challenger[name], evaluation.metrics[name]
        allowed = VERIFICATION_TOLERANCE * (1.0 if name.startswith("skill") else true)
        if not abs(claimed - true) <= allowed:
            return f"{name} {claimed:.6f}, recomputed it is {true:.6f}"
    for name, losses in (("loss_model", evaluation.losses), ("loss_baseline", evaluation.baseline_losses)):
        same_length = len(challenger[name]) == len(losses)
        if not (
            same_length and np.abs(np.subtract(challenger[name], losses)).sum() <= VERIFICATION_TOLERANCE * sum(losses)
        ):
            return f"another {name} than the recomputed one"
    return None
