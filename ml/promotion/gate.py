"""The promotion gate: all checks of a challenger, and the record of the decision.

The challenger is the case with the best skill on validation. Its validation figures have to pass the rules
(`ml.promotion.rules`), and its reported metrics are verified by recomputation (`ml.promotion.recomputation`). Only then
are holdout rows opened that no earlier opening of the series used: once, counted, and recorded with any outcome
(`ml.promotion.holdout`). On them the challenger must beat the baseline and must not be worse than the incumbent. A
champion is refitted with the same parameters and seeds on all closed rows; the evaluated model is kept as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ml.data.datasets import Dataset
from ml.errors import CandleworksError
from ml.evaluation.evaluate import Evaluation, evaluate_prepared, fit_rows
from ml.evaluation.forecaster import Ensemble
from ml.evaluation.preparation import PreparedCase, prepare
from ml.evaluation.walk_forward import Walk
from ml.forecasting.model_folder import SavedModel
from ml.forecasting.model_store import model_id, save_model
from ml.forecasting.novelty import novelty_of
from ml.metrics.conformal import BandScores
from ml.metrics.scorer import Rows
from ml.promotion.disputes import Dispute
from ml.promotion.holdout import errors_with_incumbent, fresh_rows, open_holdout, target_times_ms, walk_holdout
from ml.promotion.model_card import FROZEN, SERVED, new_card
from ml.promotion.recomputation import verification_failure
from ml.promotion.rules import NO_HISTORY, PromotionContext, Verdict, check_on_validation, refused
from ml.promotion.settings import PromotionSettings
from ml.records import ModelCard, ResultRow, VerdictRecord
from ml.search.cases import TestCase
from ml.store import Store
from ml.timeframes import utc_text
from ml.version import code_version


def decide_promotion(
    store: Store,
    dataset: Dataset,
    challenger: ResultRow,
    incumbent: ResultRow | None,
    settings: PromotionSettings,
    context: PromotionContext = NO_HISTORY,
) -> Verdict:
    """All steps for a challenger: validation, recomputation, holdout, refit; saves the models of a promoted one.

    Args:
        store: for the models.
        dataset: on which both were evaluated.
        challenger: a result row from an untrusted worker.
        incumbent: the champion's row on the same dataset, computed by the coordinator; None without a champion.
        settings: thresholds.
        context: of the series: time and openings.
    """
    passed = check_on_validation(challenger, incumbent, settings, context)
    if passed.decision == "refused":
        return passed
    recomputed = _recomputed(challenger["case_json"], dataset)
    if isinstance(recomputed, str):
        return _failed_verification(passed, challenger, recomputed)
    if failure := recomputed.failure_of(challenger):
        return _failed_verification(passed, challenger, failure)
    prepared, evaluation, walk = recomputed.prepared, recomputed.evaluation, recomputed.walk
    rows = fresh_rows(prepared, context.seen_until_ms)
    if len(rows) < settings.minimal_holdout_rows:
        return refused(passed, "holdout_used_up", _used_up(len(rows), settings, context))
    verified = _Verified(store, prepared, (walk, walk_holdout(prepared)), evaluation.baseline, context)
    verdict = _check_on_holdout(verified, rows, incumbent, passed)
    return verdict if verdict.decision == "refused" else _promote(verified, challenger, verdict, settings)


@dataclass(frozen=True, eq=False)
class _Recomputed:
    """A case that was evaluated here."""

    prepared: PreparedCase
    evaluation: Evaluation
    walk: Walk

    def failure_of(self, result: ResultRow) -> str | None:
        """How a reported result of the case differs; None if it does not."""
        case = self.prepared.case
        if case.series != self.prepared.dataset.series:
            return "another series"
        return verification_failure(result, case, self.evaluation)


def _recomputed(case_json: str, dataset: Dataset) -> _Recomputed | str:
    """A case evaluated here, or why that fails."""
    try:
        prepared = prepare(TestCase.model_validate_json(case_json), dataset)
        return _Recomputed(prepared, *evaluate_prepared(prepared))
    except (CandleworksError, ValueError) as error:
        return f"a result, recomputed the case fails: {error}"


def settle(dispute: Dispute, dataset: Dataset) -> list[tuple[ResultRow, Verdict]]:
    """Recompute a case with differing results; the false ones, with a refusal that names all of its workers."""
    found = []
    named = " and ".join(str(result["worker"]) for result in dispute.results)
    # The key of a case is the hash of its description: it is the same in all results.
    recomputed = _recomputed(dispute.results[0]["case_json"], dataset)
    for result in dispute.results:
        failure = recomputed if isinstance(recomputed, str) else recomputed.failure_of(result)
        if failure is not None:
            disputed = f"{failure}; the results of {named} differ"
            found.append((result, _failed_verification(Verdict("passed", "", "dispute"), result, disputed)))
    return found


@dataclass(frozen=True, eq=False)
class _Verified:
    """A challenger whose reported metrics were verified, as recomputed here.

    Attributes:
        walked: its walks through validation and holdout.
        baseline: that it is compared with.
    """

    store: Store
    prepared: PreparedCase
    walked: tuple[Walk, Walk]
    baseline: str
    context: PromotionContext


def _failed_verification(passed: Verdict, challenger: ResultRow, failure: str) -> Verdict:
    """A refusal that marks the machine whose key signed the result.

    No machine is marked if another version of the code may explain the difference, or if the result is not signed: then
    the name of its machine is a text of unknown origin.
    """
    worker, made_with = challenger["worker"], challenger["code_version"]
    note = ""
    if made_with != code_version():
        note = f" (made with code {made_with}, this is {code_version()}: the worker is not marked)"
    elif challenger.get("signer") is None:
        note = " (the result is not signed: no machine is marked)"
    verdict = refused(passed, "false_claim", f"worker {worker} reported {failure}{note}")
    return replace(verdict, false_claim_worker=None if note else worker)


def _used_up(fresh: int, settings: PromotionSettings, context: PromotionContext) -> str:
    missing = settings.minimal_holdout_rows - fresh
    seen = (
        "" if context.seen_until_ms is None else f" (the last one opened is of {utc_text(context.seen_until_ms)[:16]})"
    )
    return (
        f"the holdout was not opened: only {fresh} of its usable candles were never opened{seen}, "
        f"{settings.minimal_holdout_rows} are needed; wait for {missing} more"
    )


def _check_on_holdout(verified: _Verified, rows: Rows, incumbent: ResultRow | None, passed: Verdict) -> Verdict:
    """Open the rows and compare with baseline and incumbent; "passed" or "refused", with the holdout figures."""
    prepared, walked = verified.prepared, verified.walked
    opening = open_holdout(prepared, walked, verified.baseline, rows)
    skill = opening.figures["skill"]
    seen = replace(passed, holdout=opening.figures, holdout_span_ms=opening.span_ms, holdout_rows=opening.rows)
    if not skill > 0:
        reason = f"on the opened holdout the skill is {skill:+.2%}: no better than {verified.baseline}"
        return refused(seen, "holdout_worse", reason)
    if incumbent is None:
        return seen
    theirs = TestCase.model_validate_json(incumbent["case_json"])
    errors = errors_with_incumbent(prepared, walked[-1], theirs, rows)
    if errors is not None and not errors[0] <= errors[1]:
        reason = (
            f"on the opened holdout the error is {errors[0]:.4f} %, that of the champion {incumbent['model']} on the "
            f"same candles {errors[1]:.4f} %"
        )
        return refused(seen, "holdout_worse", reason)
    return seen


def _promote(verified: _Verified, challenger: ResultRow, verdict: Verdict, settings: PromotionSettings) -> Verdict:
    """Save the evaluated ensemble and its refit on all usable rows; returns the promoting verdict."""
    assert verdict.holdout is not None
    store, prepared, ensemble = verified.store, verified.prepared, verified.walked[0].last
    band_scores = unseen_scores(prepared, verified.walked)
    card = new_card(prepared, challenger, verdict, verified.context, settings)
    frozen = model_id(prepared.case, prepared.dataset.id, "frozen")
    train = trained_span_ms(prepared, verified.walked[0].folds[-1].train)
    evaluated = save_model(
        store, frozen, prepared.case, ensemble, band_scores, {**card, **FROZEN, **train, **_lineage(prepared)}
    )
    served, through_ms = save_served(store, prepared, ensemble, band_scores, card)
    return replace(
        verdict,
        decision="promoted",
        rule="promoted",
        reason=f"beats {verified.baseline} by {challenger['skill']:+.2%} on validation ({_shown(verdict.p_value)}) "
        f"and by {verdict.holdout['skill']:+.2%} on the holdout",
        frozen_model_id=evaluated.id,
        frozen_card_sha256=evaluated.card_sha256,
        model_id=served.id,
        model_card_sha256=served.card_sha256,
        trained_through_ms=through_ms,
    )


def unseen_scores(prepared: PreparedCase, walked: Sequence[Walk]) -> BandScores:
    """The latest nonconformity scores of a case on rows that it had not learnt from, oldest first.

    They estimate the errors of its refit on all rows.
    """
    rows, predicted = np.concatenate([w.rows for w in walked]), np.concatenate([w.predicted for w in walked])
    return prepared.candle_scorer.band_scores(predicted, rows).latest()


def save_served(
    store: Store, prepared: PreparedCase, evaluated: Ensemble, band_scores: BandScores, card: ModelCard
) -> tuple[SavedModel, int]:
    """Refit an evaluated ensemble on all usable rows of its dataset and save it for serving.

    Args:
        store: for the model.
        prepared: the case bound to the dataset.
        evaluated: the ensemble to refit, with the same parameters and seeds.
        band_scores: nonconformity scores on rows that the forecaster had not learnt from, oldest first.
        card: the model card, without kind, train span and lineage.

    Returns:
        The saved model, and open time of the last candle that it learnt from.
    """
    case, everything = prepared.case, prepared.learnt(np.flatnonzero(prepared.usable))
    refitted = fit_rows(prepared, everything, evaluated)
    identity, span = model_id(case, prepared.dataset.id, "served"), trained_span_ms(prepared, everything)
    served: ModelCard = {**card, **SERVED, **span, **_lineage(prepared)}
    saved = save_model(store, identity, case, refitted, band_scores, served, novelty_of(prepared, everything))
    return saved, span["trained_through_ms"]


def _lineage(prepared: PreparedCase) -> ModelCard:
    """Fingerprints of the columns that a model learnt from."""
    return {"lineage": prepared.dataset.lineage(prepared.case.lineage_columns)}


def trained_span_ms(prepared: PreparedCase, rows: Rows) -> ModelCard:
    """Open times of the first and last candle in train rows; the last one occurs only in labels."""
    return {
        "trained_from_ms": int(prepared.dataset.open_time_ms[rows[0]]),
        "trained_through_ms": int(target_times_ms(prepared, rows)[-1]),
    }


def _shown(p_value: float | None) -> str:
    return "p < 0.0001" if p_value is not None and p_value < 1e-4 else f"p = {p_value:.4f}"


def verdict_body(
    challenger: ResultRow,
    incumbent_key: str | None,
    verdict: Verdict,
    settings: PromotionSettings,
    context: PromotionContext = NO_HISTORY,
) -> VerdictRecord:
    """The record of a verdict for the sealed chain, with the settings needed to recompute it."""
    holdout = verdict.holdout or {}
    start_ms, end_ms = verdict.holdout_span_ms or (None, None)
    record = {  # values without a figure are null
        "exchange": challenger["exchange"],
        "symbol": challenger["symbol"],
        "timeframe": challenger["timeframe"],
        "dataset_id": challenger["dataset_id"],
        "case_key": challenger["case_key"],
        "model": challenger["model"],
        "skill": challenger["skill"],
        "skill_mean_range": challenger["skill_mean_range"],
        "rmse_pct": challenger["rmse_pct"],
        "baseline": challenger["baseline"],
        "incumbent_case_key": incumbent_key,
        "gain": verdict.gain,
        **decision_inputs(verdict, settings, context),
        "holdout_opened": verdict.holdout is not None,
        "holdout_start": time_or_none(start_ms),
        "holdout_end": time_or_none(end_ms),
        "holdout_rows": verdict.holdout_rows,
        "holdout_rmse_pct": holdout.get("rmse_pct"),
        "holdout_skill": holdout.get("skill"),
        "holdout_skill_mean_range": holdout.get("skill_mean_range"),
        "holdout_band_coverage": holdout.get("band_coverage"),
        "false_claim_worker": verdict.false_claim_worker,
    }
    return cast(VerdictRecord, record)


def decision_inputs(verdict: Verdict, settings: PromotionSettings, context: PromotionContext) -> VerdictRecord:
    """The common fields of the records of promotions and reviews."""
    t_statistic = verdict.t_statistic
    record = {
        "decision": verdict.decision,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "decided_at": utc_text(context.now_ms),
        "p_value": verdict.p_value,
        # JSON has no infinity, the t statistic of constant differences.
        "t_statistic": t_statistic if t_statistic is not None and math.isfinite(t_statistic) else None,
        "n_days": verdict.n_days,
        "alpha": settings.alpha,
        "minimal_gain": settings.minimal_gain,
        "settings": settings.model_dump(mode="json"),
        "n_trials": context.n_trials,
        "spa_p_value": context.spa_p_value,
        "frozen_model_id": verdict.frozen_model_id,
        "model_id": verdict.model_id,
        "frozen_card_sha256": verdict.frozen_card_sha256,
        "model_card_sha256": verdict.model_card_sha256,
        "trained_through": time_or_none(verdict.trained_through_ms),
    }
    return cast(VerdictRecord, record)


def time_or_none(time_ms: int | None) -> str | None:
    """ISO 8601, or None without a time."""
    return None if time_ms is None else utc_text(time_ms)
