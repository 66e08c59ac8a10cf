"""Reading verdicts: the champions of a series, the reason why there is none, and the marked machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from ml.data.datasets import read_manifest
from ml.errors import DatasetError
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.execution.workers import machine_of
from ml.forecasting.chain import Chain
from ml.records import VerdictRecord
from ml.series import Series
from ml.store import Store
from ml.timeframes import utc_ms


def read_verdicts(store: Store) -> list[VerdictRecord]:
    """Bodies of all sealed verdicts, oldest first, with current case keys.

    Raises:
        StoreError: one was changed after it was sealed.
    """
    keys = former_keys(store)
    return [
        cast(VerdictRecord, under_todays_keys(record["body"], keys))
        for record in Chain(store, "verdicts").checked_records()
    ]


def verdicts_of(series: Series, verdicts: list[VerdictRecord]) -> list[VerdictRecord]:
    """The verdicts of one series."""
    return [
        one
        for one in verdicts
        if (one["exchange"], one["symbol"], one["timeframe"]) == (series.exchange, series.symbol, series.timeframe)
    ]


def stamp_ms(now_ms: int, verdicts: Sequence[VerdictRecord]) -> int:
    """The time of the next verdict of a series: now, but never before its last one, which a later run may have made."""
    return max([now_ms, *(utc_ms(one["decided_at"]) for one in verdicts[-1:])])


@dataclass(frozen=True)
class Reign:
    """A champion of a series, from its promotion to its end.

    Attributes:
        promotion: the verdict that promoted it.
        model_ids: all models that have served for it, the newest last: a review may refit it.
        card_sha256: hash of the model card of the newest model; None in records of earlier versions.
        trained_through: of the newest model.
        reviewed_at: of its last review, also of one that retired it.
        review_skill: of the last review that measured it.
        ended_at: when it was retired or replaced.
        ended_by: retired or replaced; empty while it serves.
        end_reason: why it was retired.
    """

    promotion: VerdictRecord
    model_ids: tuple[str, ...]
    card_sha256: str | None
    trained_through: str | None
    reviewed_at: str | None = None
    review_skill: float | None = None
    ended_at: str | None = None
    ended_by: str = ""
    end_reason: str = ""

    def reviewed(self, verdict: VerdictRecord) -> Reign:
        """The reign after a review of its champion; a review without a refit leaves the model."""
        skill = verdict.get("review_skill")
        after = replace(
            self,
            reviewed_at=verdict.get("decided_at"),
            review_skill=self.review_skill if skill is None else skill,
        )
        if verdict["decision"] == "retired":
            return replace(after, ended_at=after.reviewed_at, ended_by="retired", end_reason=verdict["reason"])
        if refit := verdict.get("model_id"):
            return replace(
                after,
                model_ids=(*self.model_ids, refit),
                card_sha256=verdict.get("model_card_sha256"),
                trained_through=verdict.get("trained_through"),
            )
        return after


def reigns_of(verdicts: Sequence[VerdictRecord]) -> list[Reign]:
    """The champions of a series, oldest first, from the verdicts of that series in order; the last one may serve.

    Refusals, and reviews of a case that is not the champion's, change nothing.
    """
    reigns: list[Reign] = []
    for verdict in verdicts:
        reign = reigns[-1] if reigns and not reigns[-1].ended_by else None
        if verdict["decision"] == "promoted":
            if reign is not None:
                reigns[-1] = replace(reign, ended_at=verdict.get("decided_at"), ended_by="replaced")
            card = verdict.get("model_card_sha256")
            reigns.append(Reign(verdict, (verdict["model_id"],), card, verdict.get("trained_through")))
        elif verdict["decision"] != "refused" and reign and verdict["case_key"] == reign.promotion["case_key"]:
            reigns[-1] = reign.reviewed(verdict)
    return reigns


def current_champion(verdicts: list[VerdictRecord]) -> VerdictRecord | None:
    """The verdict that promoted the champion of a series, from the verdicts of that series in order.

    If reviews have confirmed it since, `model_id`, its card and `trained_through` are of its newest refit; `model_ids`
    lists all models that have served for it. None if there was none, or the last champion was retired.
    """
    reigns = reigns_of(verdicts)
    if not reigns or reigns[-1].ended_by:
        return None
    reign = reigns[-1]
    return {
        **reign.promotion,
        "model_id": reign.model_ids[-1],
        "model_card_sha256": reign.card_sha256,
        "trained_through": reign.trained_through,
        "model_ids": list(reign.model_ids),
    }


def champions(store: Store, series: list[Series]) -> dict[Series, VerdictRecord]:
    """The promoting verdict of every series that has a champion (see `current_champion`)."""
    return champions_among(read_verdicts(store), series)


def champions_among(verdicts: list[VerdictRecord], series: Sequence[Series]) -> dict[Series, VerdictRecord]:
    """`champions`, from all verdicts."""
    found = {one: current_champion(verdicts_of(one, verdicts)) for one in series}
    return {one: verdict for one, verdict in found.items() if verdict is not None}


def why_no_champion(series: Series, verdicts: list[VerdictRecord]) -> str:
    """The reason why a series has no champion, from all verdicts."""
    reigns = reigns_of(verdicts_of(series, verdicts))
    if reigns and reigns[-1].ended_by == "retired":
        return f"its champion {reigns[-1].promotion['model']} was retired: {reigns[-1].end_reason}"
    return "no model beats the baseline on this series yet"


def marked_machines(verdicts: Sequence[VerdictRecord], trusted_again: Mapping[str, datetime]) -> set[str]:
    """Machines with a failed verification on any series; their results are excluded.

    Args:
        verdicts: of all series.
        trusted_again: machine -> time; failed verifications before it are disregarded.
    """
    found = [(machine_of(one["false_claim_worker"]), one) for one in verdicts if one.get("false_claim_worker")]
    return {
        machine
        for machine, verdict in found
        if machine not in trusted_again or datetime.fromisoformat(verdict["decided_at"]) >= trusted_again[machine]
    }


def seen_until_ms(store: Store, verdicts: list[VerdictRecord]) -> int | None:
    """Open time of the latest opened candle, from the verdicts of one series; None before the first opening.

    Older records of openings lack their span and count as having opened their whole dataset.
    """
    opened = [verdict for verdict in verdicts if verdict["holdout_opened"]]
    return max((_opened_until_ms(store, verdict) for verdict in opened), default=None)


def _opened_until_ms(store: Store, verdict: VerdictRecord) -> int:
    if verdict.get("holdout_end"):
        return utc_ms(verdict["holdout_end"])
    try:
        return int(read_manifest(store, verdict["dataset_id"])["last_open_time_ms"])
    except DatasetError:
        return utc_ms(verdict["decided_at"])
