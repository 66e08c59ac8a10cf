"""Review: does a champion still have its edge on newer rows than it was evaluated on?

A champion's case is evaluated by walk-forward over the newest dataset: refitted on an expanding span, as in live use,
and scored on the rows after it. The rows are the latest `review_days` of those after the train part of the evaluated
model.

Admissible rows: the candles after the champion's own holdout are its future. It has forecast them live, and the errors
are published. No other case is evaluated on them here, so they select no challenger; for challengers they stay sealed,
and a review does not count as an opening. If the champion did well on them by luck, the next challenger meets a
stronger incumbent on its opening, never a weaker one. The older rows of the span were validation and holdout of the
champion itself and flatter it, which is why the live record can retire a champion that the walk-forward would keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.data.datasets import Dataset
from ml.errors import StoreError
from ml.evaluation.evaluate import evaluate_prepared
from ml.evaluation.forecaster import Ensemble
from ml.evaluation.preparation import PreparedCase, prepare
from ml.forecasting.model_folder import frozen_seal_of
from ml.forecasting.model_store import read_card
from ml.metrics.conformal import BandScores
from ml.promotion.champion_case import champion_card, champion_case
from ml.promotion.gate import decision_inputs, save_served, unseen_scores
from ml.promotion.rules import PromotionContext, Verdict
from ml.promotion.settings import PromotionSettings
from ml.promotion.significance import newey_west_p_value
from ml.records import ModelCard, VerdictRecord
from ml.search.cases import TestCase, WalkForward
from ml.store import Store
from ml.timeframes import DAY_MS, utc_text


@dataclass(frozen=True, eq=False)
class Review:
    """The result of the walk-forward evaluation.

    Attributes:
        skill: against the baseline that was best on the rows before the span.
        baseline: its name.
        rows: number of evaluated rows.
        span_ms: open times of the first and the last evaluated row.
        n_days: number of days of the evaluated rows.
        band_scores: out-of-sample nonconformity scores of the evaluated rows, oldest first.
        ensemble: the last fit.
    """

    skill: float
    baseline: str
    rows: int
    span_ms: tuple[int, int]
    n_days: int
    band_scores: BandScores
    ensemble: Ensemble


@dataclass(frozen=True)
class LiveRecord:
    """Errors in percent of a champion's timely scored forecasts, and of the baseline on the same candles.

    Oldest first; of a revised candle the latest score counts.
    """

    errors: Sequence[float] = ()
    baseline_errors: Sequence[float] = ()

    def p_value_of_worse(self) -> float:
        """One-sided p-value of "no worse than the baseline": paired squared errors, Newey-West; 1 for fewer than 3."""
        return newey_west_p_value(list(np.square(self.errors) - np.square(self.baseline_errors)))


def walk_review(case: TestCase, dataset: Dataset, trained_through_ms: int, settings: PromotionSettings) -> Review:
    """Evaluate a champion's case by walk-forward.

    Args:
        case: the champion's.
        dataset: the newest one of its series.
        trained_through_ms: open time of the last candle that the evaluated model learnt from.
        settings: length of the span, and interval of refits.

    Raises:
        CaseError: the case can no longer be bound to this dataset, or there are too few rows.
        PredictionError: the model's output is not usable.
    """
    refit_every = max(1, round(settings.review_refit_days * DAY_MS / dataset.timeframe_ms))
    prepared = _over_span(case, dataset, refit_every, trained_through_ms, settings.review_days)
    evaluation, walk = evaluate_prepared(prepared)
    return Review(
        skill=evaluation.metrics["skill"],
        baseline=evaluation.baseline,
        rows=evaluation.n_validation,
        span_ms=(evaluation.spans["validation_start"], evaluation.spans["validation_end"]),
        n_days=len(evaluation.days),
        band_scores=unseen_scores(prepared, [walk]),
        ensemble=walk.last,
    )


def _over_span(
    case: TestCase, dataset: Dataset, refit_every: int, trained_through_ms: int, days: float
) -> PreparedCase:
    """The case, in the present version of the evaluation, with the span of the review as its validation part.

    Train is all before it.
    """
    walk = case.at_present().changed(walk_forward=WalkForward(refit_every=refit_every))
    prepared = prepare(walk, dataset)
    times, stop = dataset.open_time_ms, len(dataset)
    since_ms = max(trained_through_ms + 1, int(times[-1]) - int(days * DAY_MS))
    start = int(np.searchsorted(times, since_ms))
    # The walk-forward purges its train rows itself; this is the same purge for the choice of the baseline.
    train_stop = max(0, start - prepared.horizon - case.lags)
    split = replace(prepared.split, train=(0, train_stop), validation=(start, stop), holdout=(stop, stop))
    return replace(prepared, split=split)


def lost_edge(review: Review, live: LiveRecord, settings: PromotionSettings) -> str | None:
    """The reason to retire a champion; None if it still has its edge."""
    if not review.skill > settings.minimal_review_skill:
        return (
            f"in walk-forward over {review.rows} rows its skill over {review.baseline} is {review.skill:+.2%}, "
            f"above {settings.minimal_review_skill:+.2%} is required: the baseline serves"
        )
    forecasts = len(live.errors)
    if forecasts >= settings.minimal_live_forecasts:
        p_value = live.p_value_of_worse()
        if p_value <= settings.alpha:
            worse = f"over {forecasts} live forecasts it is worse than the baseline (p = {p_value:.4f})"
            return f"{worse}: the baseline serves"
    return None


def review_champion(
    store: Store,
    dataset: Dataset,
    champion: VerdictRecord,
    live: LiveRecord,
    settings: PromotionSettings,
    context: PromotionContext,
) -> VerdictRecord:
    """Retire or confirm a champion; a confirmed one is refitted on all closed rows.

    Args:
        store: with its models.
        dataset: the newest one of its series.
        champion: the record of its promotion, with the id of the model that serves now.
        live: its live record.
        settings: thresholds.
        context: time and number of trials.

    Returns:
        The record for the chain of verdicts.

    Raises:
        CandleworksError: its case cannot be evaluated on this dataset; there is no decision.
    """
    case, card = champion_case(store, champion), champion_card(store, champion)
    review = walk_review(case, dataset, _trained_through_ms(store, champion), settings)
    why = lost_edge(review, live, settings)
    known = Verdict(
        "retired",
        why or "",
        "lost_edge",
        p_value=live.p_value_of_worse() if live.errors else None,
        n_days=review.n_days,
        frozen_model_id=champion["frozen_model_id"],
        model_id=champion["model_id"],
        frozen_card_sha256=champion.get("frozen_card_sha256"),
        model_card_sha256=champion.get("model_card_sha256"),
    )
    verdict = known if why else _confirmed(store, prepare(case, dataset), review, card, known)
    return {
        **dataset.series.key,
        "dataset_id": dataset.id,
        "case_key": case.key,
        "model": case.model,
        "baseline": review.baseline,
        "incumbent_case_key": case.key,
        **decision_inputs(verdict, settings, context),
        "holdout_opened": False,
        "review_skill": review.skill,
        "review_rows": review.rows,
        "review_start": utc_text(review.span_ms[0]),
        "review_end": utc_text(review.span_ms[1]),
        "live_forecasts": len(live.errors),
    }


def _trained_through_ms(store: Store, champion: VerdictRecord) -> int:
    """End of the train part of the evaluated model; 0 if its card is too old to record it."""
    try:
        card = read_card(store, champion["frozen_model_id"], frozen_seal_of(champion))
    except StoreError:
        return 0
    return int(card["trained_through_ms"]) if "trained_from_ms" in card else 0


def _confirmed(store: Store, prepared: PreparedCase, review: Review, card: ModelCard, known: Verdict) -> Verdict:
    span: ModelCard = {"review_skill": review.skill, "review_rows": review.rows, "dataset_id": prepared.dataset.id}
    served, through_ms = save_served(store, prepared, review.ensemble, review.band_scores, {**card, **span})
    reason = (
        f"in walk-forward over {review.rows} rows its skill over {review.baseline} is {review.skill:+.2%}; "
        "refitted on all closed candles"
    )
    return replace(
        known,
        decision="confirmed",
        rule="confirmed",
        reason=reason,
        model_id=served.id,
        model_card_sha256=served.card_sha256,
        trained_through_ms=through_ms,
    )
