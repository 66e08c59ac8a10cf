"""The promotion gate on validation rows: the rules that a challenger must pass before any holdout row is opened.

In this order: a minimal skill over the baseline, a minimum of rows and days, a minimal gain over the incumbent, a
paired test against the baseline and the incumbent each, the p-value of the whole search, and the incumbent's tenure.
The paired test ignores that the challenger was selected as the best of many cases; the search's p-value accounts for
that. Gain and tenure are the hysteresis. Without the gain, two nearly equal models would alternate, since with years of
data the test finds the smallest difference. Without the tenure, a champion would be replaced before it has a live
record to evaluate, and the best of each day's challengers would be a new one nearly every day.

The test: differences of the squared percentage errors (mean over the labels), averaged per day, one-sided, with a
Newey-West variance (see `ml.promotion.significance`). All limits are in `ml.promotion.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

from ml.metrics.baselines import BASELINES
from ml.promotion.settings import PromotionSettings
from ml.promotion.significance import aligned_differences, newey_west_p_value, newey_west_t
from ml.records import ResultRow
from ml.timeframes import DAY_MS

Losses = tuple[Sequence[int], Sequence[float]]
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class PromotionContext:
    """The inputs of a promotion decision besides results.

    Attributes:
        now_ms: the exchange's time.
        seen_until_ms: open time of the latest candle opened as holdout for the series.
        promoted_at_ms: when the incumbent was promoted.
        n_trials: number of distinct cases ever tried on the series.
        spa_p_value: Hansen's p-value of the whole search on this dataset; None if it was not computed.
    """

    now_ms: int = 0
    seen_until_ms: int | None = None
    promoted_at_ms: int | None = None
    n_trials: int = 0
    spa_p_value: float | None = None


NO_HISTORY = PromotionContext()


@dataclass(frozen=True)
class Verdict:
    """The decision about a challenger or a champion, its rule, and its inputs.

    Attributes:
        decision: passed (validation only), promoted, refused, retired or confirmed.
        rule: short name of the deciding rule.
        p_value: the largest of the paired tests; `t_statistic` and `n_days` are of the same test.
        gain: 1 - error / error of the incumbent, on validation.
        holdout: figures on the opened rows; None if none were opened.
        holdout_span_ms: open times of the first and last opened candle.
        trained_through_ms: open time of the last candle that the served model learnt from.
        model_card_sha256: hash of the model card of `model_id`; `frozen_card_sha256` of `frozen_model_id`.
        false_claim_worker: the worker whose reported metrics failed verification.
    """

    decision: str
    reason: str
    rule: str
    p_value: float | None = None
    t_statistic: float | None = None
    n_days: int | None = None
    gain: float | None = None
    holdout: Mapping[str, float] | None = None
    holdout_span_ms: tuple[int, int] | None = None
    holdout_rows: int | None = None
    frozen_model_id: str | None = None
    model_id: str | None = None
    frozen_card_sha256: str | None = None
    model_card_sha256: str | None = None
    trained_through_ms: int | None = None
    false_claim_worker: str | None = None


def day_numbers(result: ResultRow) -> list[int]:
    """The days of a result as days since 1970-01-01: Parquet gives dates, an evaluation numbers."""
    return [(day - _EPOCH).days if isinstance(day, date) else day for day in result["loss_day"]]


def check_on_validation(
    challenger: ResultRow,
    incumbent: ResultRow | None,
    settings: PromotionSettings,
    context: PromotionContext = NO_HISTORY,
) -> Verdict:
    """Compare the challenger with its baseline and with the incumbent on validation rows.

    Args:
        challenger: a result row (see `ml.execution.results.SCHEMA`).
        incumbent: the champion's row on the same dataset; None without a champion.
        settings: thresholds.
        context: time, SPA p-value, and when the incumbent was promoted.

    Returns:
        A verdict with the decision "passed" or "refused".
    """
    gain = None if incumbent is None else 1 - challenger["rmse_pct"] / incumbent["rmse_pct"]
    too_little = _too_little(challenger, incumbent, gain, settings)
    if too_little is not None:
        rule, reason = too_little
        return Verdict("refused", reason, rule, gain=gain)
    verdict = Verdict("passed", "beats baseline and champion on validation", "paired_test", gain=gain)
    for name, rival in _rivals(challenger, incumbent):
        differences = aligned_differences(rival, (day_numbers(challenger), challenger["loss_model"]))
        n_days = len(differences)
        if n_days < settings.minimal_days:
            reason = f"only {n_days} days to compare with {name}, {settings.minimal_days} are needed"
            return Verdict("refused", reason, "minimal_days", gain=gain, n_days=n_days)
        p_value = newey_west_p_value(differences)
        if verdict.p_value is None or p_value > verdict.p_value:
            verdict = replace(verdict, p_value=p_value, t_statistic=newey_west_t(differences), n_days=n_days)
        if p_value > settings.alpha:
            reason = f"the gain over {name} could be luck: p = {p_value:.3f} is above {settings.alpha}"
            return refused(verdict, "paired_test", reason)
    luck = context.spa_p_value
    if luck is not None and luck > settings.search_alpha:
        reason = (
            f"the best of {context.n_trials} tries could be luck: SPA p = {luck:.3f} is above {settings.search_alpha}"
        )
        return refused(verdict, "search_luck", reason)
    tenure = _in_tenure(incumbent, settings, context)
    return verdict if tenure is None else refused(verdict, "minimal_tenure", tenure)


def _too_little(
    challenger: ResultRow, incumbent: ResultRow | None, gain: float | None, settings: PromotionSettings
) -> tuple[str, str] | None:
    """Rule and reason if skill, rows or gain are below the required minimum; NaN is refused too."""
    if not challenger["skill"] >= settings.minimal_skill:
        return "minimal_skill", (
            f"no model beats the baseline {challenger['baseline']}: the best skill is {challenger['skill']:+.2%}, "
            f"at least {settings.minimal_skill:+.2%} is required"
        )
    if not challenger["n_validation"] >= settings.minimal_rows:
        return "minimal_rows", (
            f"only {challenger['n_validation']} validation rows were evaluated, {settings.minimal_rows} are needed"
        )
    if incumbent is not None and gain is not None and not gain >= settings.minimal_gain:
        return "minimal_gain", (
            f"the gain over the champion {incumbent['model']} is {gain:+.2%}, at least "
            f"{settings.minimal_gain:+.2%} is required"
        )
    skills = {name: cast("float | None", challenger.get(f"skill_{name}")) for name in BASELINES}
    worse = [name for name, skill in skills.items() if skill is not None and skill < 0]
    if worse:
        # Its baseline was the best on the train rows; another one may have become better.
        return "minimal_skill", (
            f"it beats the baseline {challenger['baseline']}, but {worse[-1]} forecasts the validation rows better"
        )
    return None


def _rivals(challenger: ResultRow, incumbent: ResultRow | None) -> Iterator[tuple[str, Losses]]:
    yield f"the baseline {challenger['baseline']}", (day_numbers(challenger), challenger["loss_baseline"])
    if incumbent is not None:
        yield f"the champion {incumbent['model']}", (day_numbers(incumbent), incumbent["loss_model"])


def _in_tenure(incumbent: ResultRow | None, settings: PromotionSettings, context: PromotionContext) -> str | None:
    """The reason why the incumbent cannot be replaced yet; None if it can."""
    if incumbent is None or context.promoted_at_ms is None:
        return None
    days = (context.now_ms - context.promoted_at_ms) / DAY_MS
    # A promotion in the future was stamped by another clock, so the tenure is unknown.
    if not 0 <= days < settings.minimal_tenure_days:
        return None
    return (
        f"the champion {incumbent['model']} was promoted {days:.1f} days ago and is not replaced before "
        f"{settings.minimal_tenure_days:g} days of service"
    )


def refused(verdict: Verdict, rule: str, reason: str) -> Verdict:
    """The verdict as a refusal, with its figures so far."""
    return replace(verdict, decision="refused", rule=rule, reason=reason)
