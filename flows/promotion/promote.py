"""Promote: the best case on the newest dataset of each series goes through the promotion gate (`ml.promotion.gate`)."""

from __future__ import annotations

from typing import cast

from flows.ingestion.exchange import exchange_time_ms
from flows.workspace.workspace import Workspace
from ml.data.datasets import Dataset, read_dataset
from ml.execution.chunks import run_case
from ml.execution.results import read_all_results
from ml.execution.workers import worker_name
from ml.promotion.challengers import Candidates
from ml.promotion.champion_case import champion_case
from ml.promotion.disputes import MOST, Dispute, disputes_of
from ml.promotion.gate import decide_promotion, settle, verdict_body
from ml.promotion.rules import PromotionContext, Verdict
from ml.promotion.verdicts import (
    current_champion,
    marked_machines,
    read_verdicts,
    seen_until_ms,
    stamp_ms,
    verdicts_of,
)
from ml.records import ResultRow, VerdictRecord
from ml.series import Series
from ml.store import Store
from ml.timeframes import utc_ms
from ml.version import code_version


def trial_counts(workspace: Workspace) -> dict[Series, int]:
    """Distinct cases ever tried on each series, on any dataset, failed ones too, among the loaded results."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute(
            "select exchange, symbol, timeframe, count(distinct case_key) from raw.results group by all"
        ).fetchall()
    return {Series(exchange=row[0], symbol=row[1], timeframe=row[2]): int(row[3]) for row in rows}


def decision_time_ms(workspace: Workspace) -> int:
    """The exchange's time at the newest load, so that the exchange need not be online; before the first, its clock."""
    return workspace.last_load_ms() or exchange_time_ms(workspace.settings)


def spa_p_values(workspace: Workspace) -> dict[str, float]:
    """Dataset id -> Hansen's SPA p-value of the whole search on it, where known."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute(
            "select dataset_id, max(spa_p_value) from raw.significance where spa_p_value is not null group by all"
        ).fetchall()
    return {row[0]: float(row[1]) for row in rows}


def _incumbent_row(store: Store, champion: VerdictRecord, dataset: Dataset) -> ResultRow | None:
    """The champion's result on the dataset in the present version of the evaluation.

    It is computed here: a forged one could depose it or keep it for ever. None if it can no longer be evaluated, for
    example because one of its features was removed: the challenger then has no incumbent to beat.
    """
    case = champion_case(store, champion)
    row = run_case(case.at_present(), dataset, worker_name(), code_version())
    return row if row["status"] == "tested" else None


def promote_series(
    workspace: Workspace,
    series: Series,
    dataset_id: str,
    n_trials: int,
    now_ms: int,
    spa_p_value: float | None = None,
) -> list[VerdictRecord]:
    """Decide on the challenger of one series and seal the verdict; if its verification fails, try the next best case.

    Args:
        workspace: store and settings.
        series: whose champion is in question.
        dataset_id: its newest dataset.
        n_trials: cases tried on the series so far.
        now_ms: the exchange's time.
        spa_p_value: of the search on this dataset, if known.

    Returns:
        The new verdicts; none if there is nothing to decide: no result, the champion is still the best case, or the
        same challenger was evaluated on the same dataset before.
    """
    store, settings = workspace.store, workspace.settings.promotion
    verdicts = read_verdicts(store)
    before = verdicts_of(series, verdicts)
    champion = current_champion(before)
    marked = marked_machines(verdicts, settings.trusted_again)
    results = read_all_results(store, dataset_id)
    disputes = [one for one in disputes_of(results, marked) if not _is_settled(one, before, dataset_id)][:MOST]
    candidates = Candidates.of(results, dataset_id, before, champion, marked)
    challenger = candidates.challenger()
    if challenger is None and not disputes:
        return []
    dataset = read_dataset(store, dataset_id)
    incumbent = _incumbent_row(store, champion, dataset) if champion else None
    context = PromotionContext(
        now_ms=stamp_ms(now_ms, before),
        seen_until_ms=seen_until_ms(store, before),
        promoted_at_ms=utc_ms(champion["decided_at"]) if champion else None,
        n_trials=n_trials,
        spa_p_value=spa_p_value,
    )
    openings = sum(earlier["holdout_opened"] for earlier in before)
    made: list[VerdictRecord] = []

    def seal(reported: ResultRow, verdict: Verdict) -> VerdictRecord:
        nonlocal openings
        body = verdict_body(reported, champion["case_key"] if champion else None, verdict, settings, context)
        openings += int(body["holdout_opened"])
        body["holdout_openings"] = openings
        made.append(workspace.chain("verdicts").append(body)["body"])
        return made[-1]

    # Series and dataset are known here: those in the file are not trusted.
    known = {**series.key, "dataset_id": dataset_id}
    for dispute in disputes:
        for reported, verdict in settle(dispute, dataset):
            challenger = candidates.without(seal(cast(ResultRow, {**reported, **known}), verdict))
    while challenger is not None and not (incumbent is not None and challenger["skill"] <= incumbent["skill"]):
        reported = cast(ResultRow, {**challenger, **known})
        sealed = seal(reported, decide_promotion(store, dataset, reported, incumbent, settings, context))
        if sealed["rule"] != "false_claim":
            break
        challenger = candidates.without(sealed)
    return made


def _is_settled(dispute: Dispute, before: list[VerdictRecord], dataset_id: str) -> bool:
    """Whether a result of the case on the dataset was refused before; without a mark it stays among the results."""
    return any(
        verdict["case_key"] == dispute.case_key
        and verdict["dataset_id"] == dataset_id
        and verdict.get("rule") == "false_claim"
        for verdict in before
    )
