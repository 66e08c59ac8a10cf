"""Verification of reported metrics: workers are not trusted, so the coordinator recomputes a challenger's result."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import cast

import numpy as np

from ml.evaluation.evaluate import Evaluation
from ml.metrics.baselines import BASELINES
from ml.promotion.rules import day_numbers
from ml.records import ResultRow
from ml.search.cases import TestCase

#: Largest accepted difference between a reported metric and its recomputation, relative for errors: machines may round
#: differently.
VERIFICATION_TOLERANCE = 1e-3

#: Required fields of a result.
REQUIRED = (
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


def is_complete(result: ResultRow) -> bool:
    """Whether a result can be verified at all: no field is missing, and every day has its losses.

    Workers are not trusted: a malformed result must not stop the evaluation of the others.
    """
    if any(result.get(name) is None for name in (*REQUIRED, *_DAILY)):
        return False
    daily: list[Collection[object]] = [result["loss_day"], result["loss_model"], result["loss_baseline"]]
    if len({len(values) for values in daily}) != 1 or any(None in values for values in daily):
        return False
    try:
        case = json.loads(result["case_json"])
    except ValueError:
        return False
    return isinstance(case, dict) and "target" in case


def verification_failure(challenger: ResultRow, case: TestCase, evaluation: Evaluation) -> str | None:
    """The first reported field that differs from its recomputation, of all that promotion depends on; None if none.

    Args:
        challenger: a result row from an untrusted worker.
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
    figures = (
        ("rmse_pct", challenger["rmse_pct"]),
        ("baseline_rmse_pct", challenger["baseline_rmse_pct"]),
        ("skill", challenger["skill"]),
        *((f"skill_{name}", cast("float | None", challenger.get(f"skill_{name}"))) for name in BASELINES),
    )
    for name, reported in figures:
        true = evaluation.metrics[name]
        if reported is None:  # without it the challenger would not be compared with that baseline
            return f"no {name}, recomputed it is {true:.6f}"
        allowed = VERIFICATION_TOLERANCE * (1.0 if name.startswith("skill") else true)
        if not abs(reported - true) <= allowed:
            return f"{name} {reported:.6f}, recomputed it is {true:.6f}"
    for name, reports, losses in (
        ("loss_model", challenger["loss_model"], evaluation.losses),
        ("loss_baseline", challenger["loss_baseline"], evaluation.baseline_losses),
    ):
        same_length = len(reports) == len(losses)
        if not (same_length and np.abs(np.subtract(reports, losses)).sum() <= VERIFICATION_TOLERANCE * sum(losses)):
            return f"another {name} than the recomputed one"
    return None
