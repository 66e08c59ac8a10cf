"""Reading verdicts: the champion of a series, the reason why there is none, and the marked machines."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Bodies of all sealed verdicts, oldest first, with current case keys."""
    keys = former_keys(store)
    return [
        cast(VerdictRecord, under_todays_keys(record["body"], keys)) for record in Chain(store, "verdicts").records()
    ]


def verdicts_of(series: Series, verdicts: list[VerdictRecord]) -> list[VerdictRecord]:
    """The verdicts of one series."""
    return [
        one
        for one in verdicts
        if (one["exchange"], one["symbol"], one["timeframe"]) == (series.exchange, series.symbol, series.timeframe)
    ]


def current_champion(verdicts: list[VerdictRecord]) -> VerdictRecord | None:
    """The verdict that promoted the champion of a series, from the verdicts of that series in order.

    If reviews have confirmed it since, `model_id` and `trained_through` are of its newest refit; `model_ids` lists all
    models that have served for it. None if there was none, or the last champion was retired.
    """
    champion: VerdictRecord | None = None
    for verdict in verdicts:
        if verdict["decision"] == "promoted":
            champion = {**verdict, "model_ids": [verdict["model_id"]]}
        elif champion is None or verdict["case_key"] != champion["case_key"]:
            continue
        elif verdict["decision"] == "retired":
            champion = None
        elif verdict["decision"] == "confirmed":
            champion = {
                **champion,
                "model_id": verdict["model_id"],
                "trained_through": verdict["trained_through"],
                "model_ids": [*champion["model_ids"], verdict["model_id"]],
            }
    return champion


def champions(store: Store, series: list[Series]) -> dict[Series, VerdictRecord]:
    """The promoting verdict of every series that has a champion (see `current_champion`)."""
    verdicts = read_verdicts(store)
    found = {one: current_champion(verdicts_of(one, verdicts)) for one in series}
    return {one: verdict for one, verdict in found.items() if verdict is not None}


def why_no_champion(series: Series, verdicts: list[VerdictRecord]) -> str:
    """The reason why a series has no champion, from all verdicts."""
    reigns = [one for one in verdicts_of(series, verdicts) if one["decision"] in ("promoted", "retired")]
    if reigns and reigns[-1]["decision"] == "retired":
        return f"its champion {reigns[-1]['model']} was retired: {reigns[-1]['reason']}"
    return "no model beats the baseline on this series yet"


def marked_machines(verdicts: list[VerdictRecord], trusted_again: Mapping[str, datetime]) -> set[str]:
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
