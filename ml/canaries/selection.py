"""Canaries: the whole selection on markets with a known truth.

A selection that tries many cases finds something in every market. A canary shows that it crowns no champion where there
is no edge, and that it does crown one where there is. Each trial simulates a market (`ml.canaries.markets`) and runs
the steps of the nightly run with the same functions: every case of a field is evaluated on validation rows, the p-value
of the search is computed, and the best case passes through the promotion gate, which recomputes it and opens the
holdout.

For comparison, each trial also applies the usual rule: the case with the lowest validation error wins.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml.canaries.markets import Trial, canary_market
from ml.canaries.search import failure, field_of_cases, search_market
from ml.data.datasets import Dataset
from ml.evaluation.evaluate import evaluate_prepared
from ml.evaluation.preparation import prepare
from ml.promotion.field import CaseLosses, align
from ml.promotion.gate import decide_promotion
from ml.promotion.holdout import open_holdout, walk_holdout
from ml.promotion.rules import PromotionContext
from ml.promotion.settings import PromotionSettings
from ml.promotion.significance import block_length, resampled_days, spa_p_value
from ml.records import ResultRow
from ml.store import Store


@dataclass(frozen=True)
class GateDecision:
    """The promotion gate's decision: whether a challenger passed on validation, and whether it became champion."""

    passed: bool
    promoted: bool
    reason: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        cases: number tried.
        promoted: whether the selection crowned a champion.
        passed: whether its challenger passed on validation, before the holdout was opened.
        reason: of the promotion gate.
        mean_skill: mean over all cases, on validation rows.
        picked_skill: skill of the case with the lowest error, on the validation rows it was picked on.
        fresh_skill: its skill on the holdout, which played no part in the choice.
    """

    trial: Trial
    cases: int
    promoted: bool
    passed: bool
    reason: str
    mean_skill: float
    picked_skill: float
    fresh_skill: float

    @property
    def found(self) -> bool:
        """Whether something was crowned."""
        return self.promoted


def promotion_gate(
    dataset: Dataset, challenger: ResultRow, settings: PromotionSettings, context: PromotionContext
) -> GateDecision:
    """The product's promotion gate without an incumbent; the models that it saves are discarded."""
    with tempfile.TemporaryDirectory() as folder:
        verdict = decide_promotion(Store(folder), dataset, challenger, None, settings, context)
    promoted = verdict.decision == "promoted"
    return GateDecision(passed=verdict.holdout is not None, promoted=promoted, reason=verdict.reason)


@dataclass(frozen=True)
class Selection:
    """The steps of a selection. Tests replace one by a broken one to show that a canary dies of it.

    Attributes:
        choose: results of all cases -> the challenger.
        settings: thresholds of the promotion gate.
        gate: the promotion gate.
        market: makes the market of a trial.
    """

    choose: Callable[[list[ResultRow]], ResultRow | None]
    settings: PromotionSettings
    gate: Callable[[Dataset, ResultRow, PromotionSettings, PromotionContext], GateDecision] = promotion_gate
    market: Callable[[Trial], Dataset] = canary_market


def run_trial(trial: Trial, selection: Selection) -> Outcome:
    """Simulate a market, select on it, and apply the usual rule for comparison. Deterministic in its arguments.

    Raises:
        CaseError: a case failed, so the selection cannot be assessed.
    """
    dataset = selection.market(trial)
    results = search_market(trial, dataset)
    challenger = selection.choose(results)
    if challenger is None:
        raise failure(trial, "no challenger was chosen")
    context = PromotionContext(n_trials=len(results), spa_p_value=search_p_value(results))
    decision = selection.gate(dataset, challenger, selection.settings, context)
    # Ties are broken by the key, as everywhere.
    picked = min(results, key=lambda result: (result["rmse_pct"], result["case_key"]))
    return Outcome(
        trial=trial,
        cases=len(results),
        promoted=decision.promoted,
        passed=decision.passed,
        reason=decision.reason,
        mean_skill=float(np.mean([result["skill"] for result in results])),
        picked_skill=picked["skill"],
        fresh_skill=_fresh_skill(picked, dataset),
    )


def search_p_value(results: Sequence[ResultRow]) -> float:
    """The SPA p-value of tested results on one dataset (see `ml.promotion.significance.spa_p_value`)."""
    rows = sorted(results, key=lambda result: str(result["case_key"]))
    field = align(
        [CaseLosses(row, *map(np.asarray, (row["loss_day"], row["loss_model"], row["loss_baseline"]))) for row in rows]
    )
    weights = resampled_days(len(field.losses), block_length(field.best_baseline))
    return spa_p_value(field.losses, field.baselines, weights)


def _fresh_skill(picked: ResultRow, dataset: Dataset) -> float:
    """Skill of a result's model on the holdout, against the baseline of the result."""
    case = next(case for case in field_of_cases() if case.key == picked["case_key"])
    prepared = prepare(case, dataset)
    evaluation, walk = evaluate_prepared(prepared)
    opening = open_holdout(prepared, (walk, walk_holdout(prepared)), evaluation.baseline, prepared.rows("holdout"))
    return opening.figures["skill"]
