"""Promote: for every series, the best case of its newest dataset before the judge (see `ml.promotion`)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from flows.installation import Installation
from ml.cases import TestCase
from ml.chain import Chain
from ml.chunks import run_case
from ml.config import Series
from ml.datasets import Dataset, read_dataset
from ml.model_store import read_card
from ml.promotion import Result, judge_challenger, verdict_body
from ml.results import read_results
from ml.store import Store
from ml.targets import NEXT_CANDLE
from ml.version import code_version
from ml.workers import worker_name


def _verdicts(store: Store) -> list[dict[str, Any]]:
    return [record["body"] for record in Chain(store, "verdicts").records()]


def _of(series: Series, verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    key = series.model_dump()
    return [verdict for verdict in verdicts if all(verdict[name] == value for name, value in key.items())]


def current_champion(verdicts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The verdict that made the champion of a series, from the verdicts of that series in order."""
    promoted = [verdict for verdict in verdicts if verdict["decision"] == "promoted"]
    return promoted[-1] if promoted else None


def champions(store: Store, series: list[Series]) -> dict[Series, dict[str, Any]]:
    """The promoting verdict of every series that has a champion."""
    verdicts = _verdicts(store)
    found = {one: current_champion(_of(one, verdicts)) for one in series}
    return {one: verdict for one, verdict in found.items() if verdict is not None}


def _is_ranked(result: Result) -> bool:
    """As `TestCase.is_ranked`, of a case that need not be possible any more."""
    case = json.loads(result["case_json"])
    return case["target"] == NEXT_CANDLE and case.get("walk_forward") is None


def challenger_of(results: list[dict[str, Any]]) -> Result | None:
    """The tested case with the best skill on validation; equal skills are decided by the key."""
    # Cases of other targets count as trials, but an error at another horizon is no better or worse than this one; nor
    # is the error of the many models of a walk forward that of the one which would serve.
    tested = [row for row in results if row["status"] == "tested" and _is_ranked(row)]
    return max(tested, key=lambda row: (row["skill"], row["case_key"])) if tested else None


def trial_counts(installation: Installation) -> dict[Series, int]:
    """Distinct cases ever tried on each series, on whatever dataset, failed ones too; of what has been loaded."""
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        rows = connection.execute(
            "select exchange, symbol, timeframe, count(distinct case_key) from raw.results group by all"
        ).fetchall()
    return {Series(exchange=row[0], symbol=row[1], timeframe=row[2]): int(row[3]) for row in rows}


def _incumbent_row(
    store: Store, champion: dict[str, Any], results: list[dict[str, Any]], dataset: Dataset
) -> Result | None:
    """The champion's result on the dataset; computed here where the sweep no longer tries its case.

    None where it cannot be evaluated any more, say because a feature of its is gone: it defends nothing then.
    """
    rows = [row for row in results if row["case_key"] == champion["case_key"]]
    if not rows:
        case = TestCase(**read_card(store, champion["model_id"])["case"])
        rows = [run_case(case, dataset, worker_name(), code_version())]
    return rows[0] if rows[0]["status"] == "tested" else None


def promote_series(installation: Installation, series: Series, dataset_id: str, n_trials: int) -> dict[str, Any] | None:
    """Judge the challenger of one series and seal the verdict, with the number of cases tried on the series so far.

    Returns:
        The verdict; None where there is nothing to judge: no result, the best case is the champion already, or the same
        challenger was judged on the same dataset before.
    """
    store = installation.store
    results = read_results(store, dataset_id)
    challenger = challenger_of(results)
    if challenger is None:
        return None
    verdicts = _of(series, _verdicts(store))
    champion = current_champion(verdicts)
    champion_key = champion["case_key"] if champion else None
    judged_before = any(
        verdict["case_key"] == challenger["case_key"] and verdict["dataset_id"] == dataset_id for verdict in verdicts
    )
    if challenger["case_key"] == champion_key or judged_before:
        return None
    dataset = read_dataset(store, dataset_id)
    incumbent = _incumbent_row(store, champion, results, dataset) if champion else None
    verdict = judge_challenger(store, dataset, challenger, incumbent, installation.settings.promotion)
    body = verdict_body(challenger, champion_key, verdict, datetime.now(UTC).isoformat(timespec="seconds"))
    opened_before = sum(earlier["holdout_opened"] for earlier in verdicts)
    body["holdout_openings"] = opened_before + int(body["holdout_opened"])
    body["n_trials"] = n_trials
    return {**Chain(store, "verdicts").append(body)["body"]}
