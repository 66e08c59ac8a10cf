"""Promotion: when a challenger becomes the champion of its series, and why not.

The challenger is the case with the best skill on validation. It has to beat the best baseline and the incumbent there,
by a minimal amount and beyond the luck of the days (a paired test on daily losses). Its claim is recomputed here before
it counts. Only then is its holdout opened, once, counted and stored whatever it shows; a challenger that is no better
than the baseline there is refused. A champion is refitted with the same parameters and seeds on all closed rows to
serve, and the judged model is kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from ml.bands import SCORE_WINDOW, conformity_scores
from ml.cases import TestCase
from ml.config import PromotionSettings
from ml.datasets import Dataset
from ml.errors import CandleworksError
from ml.evaluation import Evaluation, fit_and_evaluate, judge, predict_part
from ml.forecaster import Committee, fit_committee
from ml.model_store import model_id, save_model
from ml.preparation import PreparedCase
from ml.significance import aligned_differences, newey_west_p_value
from ml.store import Store

Result = Mapping[str, Any]
#: Largest difference between a claim and its recomputation, of an error relative to it: other machines round otherwise.
CLAIM_TOLERANCE = 1e-3
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Verdict:
    """What was decided about a challenger, and on what grounds."""

    decision: str
    reason: str
    p_value: float | None = None
    gain: float | None = None
    holdout: Mapping[str, float] | None = None
    frozen_model_id: str | None = None
    model_id: str | None = None


def _days_and_losses(result: Result, which: str) -> tuple[Sequence[int], Sequence[float]]:
    return result["loss_day"], result[which]


def judge_on_validation(challenger: Result, incumbent: Result | None, settings: PromotionSettings) -> Verdict:
    """Compare the challenger with its baseline and with the incumbent on validation rows.

    Args:
        challenger: a row of the results (see `ml.results.SCHEMA`).
        incumbent: the champion's row on the same dataset, if there is a champion.
        settings: thresholds.

    Returns:
        A verdict with the decision "passed" or "refused".
    """
    mine = _days_and_losses(challenger, "loss_model")
    # "not at least" also refuses what is not a number.
    if not challenger["skill"] >= settings.minimal_skill:
        return Verdict(
            "refused",
            f"no model beats the baseline {challenger['baseline']}: the best skill is {challenger['skill']:+.2%}, "
            f"at least {settings.minimal_skill:+.2%} is asked for",
        )
    rivals = [(f"the baseline {challenger['baseline']}", _days_and_losses(challenger, "loss_baseline"))]
    gain = None
    if incumbent is not None:
        gain = 1 - challenger["rmse_pct"] / incumbent["rmse_pct"]
        if not gain >= settings.minimal_gain:
            return Verdict(
                "refused",
                f"the gain over the champion {incumbent['model']} is {gain:+.2%}, at least "
                f"{settings.minimal_gain:+.2%} is asked for",
                gain=gain,
            )
        rivals.append((f"the champion {incumbent['model']}", _days_and_losses(incumbent, "loss_model")))
    p_value = 0.0
    for name, rival in rivals:
        differences = aligned_differences(rival, mine)
        if len(differences) < settings.minimal_days:
            return Verdict(
                "refused", f"only {len(differences)} days to compare with {name}, {settings.minimal_days} are needed"
            )
        p_value = max(p_value, newey_west_p_value(differences))
        if p_value > settings.alpha:
            return Verdict(
                "refused",
                f"the gain over {name} could be luck: p = {p_value:.3f} is above {settings.alpha}",
                p_value=p_value,
                gain=gain,
            )
    return Verdict("passed", "beats baseline and champion on validation", p_value=p_value, gain=gain)


def false_claim(challenger: Result, case: TestCase, evaluation: Evaluation) -> str | None:
    """What a result claims that is not so, of everything it was judged on; None when all of it is true.

    Args:
        challenger: a row of the results, made by a worker that need not be trusted.
        case: the case that the row describes.
        evaluation: that case, evaluated here.
    """
    # Parquet gives dates, an evaluation numbers of days.
    days = [(day - _EPOCH).days if isinstance(day, date) else day for day in challenger["loss_day"]]
    exact = (
        ("case_key", challenger["case_key"], case.key),
        ("baseline", challenger["baseline"], evaluation.baseline),
        ("loss_day", days, evaluation.days),
    )
    for name, said, found in exact:
        if said != found:
            return f"another {name} than the recomputed one"
    for name in ("rmse_pct", "baseline_rmse_pct", "skill", "skill_mean_range"):
        claimed, true = challenger[name], evaluation.metrics[name]
        allowed = CLAIM_TOLERANCE * (1.0 if name.startswith("skill") else true)
        if not abs(claimed - true) <= allowed:
            return f"{name} {claimed:.6f}, recomputed it is {true:.6f}"
    for name, losses in (("loss_model", evaluation.losses), ("loss_baseline", evaluation.baseline_losses)):
        same_length = len(challenger[name]) == len(losses)
        if not (same_length and np.abs(np.subtract(challenger[name], losses)).sum() <= CLAIM_TOLERANCE * sum(losses)):
            return f"another {name} than the recomputed one"
    return None


def judge_challenger(
    store: Store, dataset: Dataset, challenger: Result, incumbent: Result | None, settings: PromotionSettings
) -> Verdict:
    """The whole way of a challenger: validation, recomputation, holdout, refit; saves the models of a promoted one."""
    passed = judge_on_validation(challenger, incumbent, settings)
    if passed.decision == "refused":
        return passed
    case = TestCase(**json.loads(challenger["case_json"]))
    try:
        evaluation, prepared, committee = fit_and_evaluate(case, dataset)
        claim = false_claim(challenger, case, evaluation)
    except CandleworksError as error:
        claim = f"a result, recomputed the case fails: {error}"
    if claim is not None:
        return Verdict("refused", f"worker {challenger['worker']} claimed {claim}")
    try:
        predictions = predict_part(prepared, committee, "holdout", earlier="validation")
    except CandleworksError as error:
        return Verdict("refused", f"the holdout cannot be judged: {error}", p_value=passed.p_value, gain=passed.gain)
    holdout = judge(prepared, predictions, evaluation.baseline)
    if not holdout["skill"] > 0:
        return Verdict(
            "refused",
            f"on the opened holdout the skill is {holdout['skill']:+.2%}: no better than {evaluation.baseline}",
            p_value=passed.p_value,
            gain=passed.gain,
            holdout=holdout,
        )
    frozen, served = _save_both(store, prepared, committee, challenger, holdout)
    return Verdict(
        "promoted",
        f"beats {evaluation.baseline} by {challenger['skill']:+.2%} on validation ({_shown(passed.p_value)}) "
        f"and by {holdout['skill']:+.2%} on the holdout",
        p_value=passed.p_value,
        gain=passed.gain,
        holdout=holdout,
        frozen_model_id=frozen,
        model_id=served,
    )


def _shown(p_value: float | None) -> str:
    return "p < 0.0001" if p_value is not None and p_value < 1e-4 else f"p = {p_value:.4f}"


def _save_both(
    store: Store, prepared: PreparedCase, judged: Committee, challenger: Result, holdout: Mapping[str, float]
) -> tuple[str, str]:
    """Save the judged committee and its refit on all usable rows; returns their ids."""
    case, dataset = prepared.case, prepared.dataset
    labels = prepared.labels
    # Scores of the judged model on rows it never saw: what its refit can be expected to miss.
    unseen = np.concatenate([prepared.rows("validation"), prepared.rows("holdout")])[-SCORE_WINDOW:]
    predicted = judged.predict(prepared.windows_at(unseen))
    band_scores = conformity_scores(predicted, labels[unseen], prepared.scale[unseen])
    everything = prepared.learnt(np.flatnonzero(prepared.usable))
    refitted = fit_committee(case, prepared.windows_at(everything), labels[everything], judged)
    names = ("rmse_pct", "skill", "skill_mean_range", "baseline", "baseline_rmse_pct", "code_version", "n_train")
    card = {
        "dataset_id": dataset.id,
        "selection": {name: challenger[name] for name in names},
        "holdout": dict(holdout),
        "trained_through_ms": int(dataset.open_time_ms[everything[-1]]),
    }
    frozen, served = model_id(case, dataset.id, "frozen"), model_id(case, dataset.id, "served")
    save_model(store, frozen, case, judged, band_scores, card | {"kind": "frozen: as it was judged"})
    save_model(store, served, case, refitted, band_scores, card | {"kind": "served: refitted on all closed rows"})
    return frozen, served


def verdict_body(challenger: Result, incumbent_key: str | None, verdict: Verdict, decided_at: str) -> dict[str, Any]:
    """The record of a verdict for the sealed chain."""
    holdout = verdict.holdout or {}
    copied = ("exchange", "symbol", "timeframe", "dataset_id", "case_key", "model")
    figures = ("skill", "skill_mean_range", "rmse_pct", "baseline")
    return {
        **{name: challenger[name] for name in (*copied, *figures)},
        "incumbent_case_key": incumbent_key,
        "decision": verdict.decision,
        "reason": verdict.reason,
        "decided_at": decided_at,
        "p_value": verdict.p_value,
        "gain": verdict.gain,
        "holdout_opened": verdict.holdout is not None,
        "holdout_rmse_pct": holdout.get("rmse_pct"),
        "holdout_skill": holdout.get("skill"),
        "holdout_skill_mean_range": holdout.get("skill_mean_range"),
        "holdout_band_coverage": holdout.get("band_coverage"),
        "frozen_model_id": verdict.frozen_model_id,
        "model_id": verdict.model_id,
    }
