"""Promote: for every series, the best case of its newest dataset before the court (see `ml.promotion`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from flows.exchange import exchange_time_ms
from flows.installation import Installation
from ml.cases import TestCase
from ml.chain import Chain
from ml.chunks import run_case
from ml.config import Series
from ml.court import Docket, Result
from ml.datasets import Dataset, read_dataset, read_manifest
from ml.errors import DatasetError
from ml.finalists import finalists
from ml.model_store import read_card
from ml.promotion import judge_challenger, verdict_body
from ml.recomputation import is_whole
from ml.results import read_results
from ml.store import Store
from ml.timeframes import utc_ms
from ml.version import code_version
from ml.workers import machine_of, worker_name

Record = dict[str, Any]


def read_verdicts(store: Store) -> list[Record]:
    """Bodies of all sealed verdicts, oldest first."""
    return [record["body"] for record in Chain(store, "verdicts").records()]


def verdicts_of(series: Series, verdicts: list[Record]) -> list[Record]:
    """Those of one series."""
    key = series.model_dump()
    return [verdict for verdict in verdicts if all(verdict[name] == value for name, value in key.items())]


def current_champion(verdicts: list[Record]) -> Record | None:
    """The verdict that made the champion of a series, from the verdicts of that series in order.

    Where reviews confirmed it since, `model_id` and `trained_through` are of its newest refit; `model_ids` names all
    models that have served for it. None where the last champion was retired.
    """
    champion: Record | None = None
    for verdict in verdicts:
        if verdict["decision"] == "promoted":
            champion = {**verdict, "model_ids": [verdict["model_id"]]}
        elif champion is None or verdict["case_key"] != champion["case_key"]:
            continue
        elif verdict["decision"] == "retired":
            champion = None
        elif verdict["decision"] == "confirmed":
            refit = {name: verdict[name] for name in ("model_id", "trained_through")}
            champion = {**champion, **refit, "model_ids": [*champion["model_ids"], verdict["model_id"]]}
    return champion


def champions(store: Store, series: list[Series]) -> dict[Series, Record]:
    """The promoting verdict of every series that has a champion (see `current_champion`)."""
    verdicts = read_verdicts(store)
    found = {one: current_champion(verdicts_of(one, verdicts)) for one in series}
    return {one: verdict for one, verdict in found.items() if verdict is not None}


def why_no_champion(series: Series, verdicts: list[Record]) -> str:
    """Why the baseline serves a series that has no champion, from all verdicts."""
    reigns = [one for one in verdicts_of(series, verdicts) if one["decision"] in ("promoted", "retired")]
    if reigns and reigns[-1]["decision"] == "retired":
        return f"its champion {reigns[-1]['model']} was retired: {reigns[-1]['reason']}"
    return "no model beats the baseline on this series yet"


def marked_machines(verdicts: list[Record]) -> set[str]:
    """Machines whose workers claimed what was not so, on whatever series: none of their results is a challenger."""
    workers = [verdict.get("false_claim_worker") for verdict in verdicts]
    return {machine_of(worker) for worker in workers if worker}


def seen_until_ms(store: Store, verdicts: list[Record]) -> int | None:
    """Open time of the latest candle that an opening saw, from the verdicts of one series; None before the first one.

    Records of openings from the time when they did not keep their span count as having seen their whole dataset.
    """
    opened = [verdict for verdict in verdicts if verdict["holdout_opened"]]
    return max((_opened_until_ms(store, verdict) for verdict in opened), default=None)


def _opened_until_ms(store: Store, verdict: Record) -> int:
    if verdict.get("holdout_end"):
        return utc_ms(verdict["holdout_end"])
    try:
        return int(read_manifest(store, verdict["dataset_id"])["last_open_time_ms"])
    except DatasetError:
        return utc_ms(verdict["decided_at"])


def challenger_of(
    results: list[Record], without_machines: Collection[str] = (), without_cases: Collection[str] = ()
) -> Result | None:
    """The case that stands for the best contender on validation (see `ml.finalists`): by its mean over seeds.

    Args:
        results: of one series and dataset.
        without_machines: whose results are not trusted.
        without_cases: keys of cases that are no challengers.
    """
    candidates = {
        row["case_key"]: row
        for row in results
        if is_whole(row) and row["case_key"] not in without_cases and machine_of(row["worker"]) not in without_machines
    }
    best = finalists(candidates.values(), most=1)
    return candidates[best[0].case_key] if best else None


def trial_counts(installation: Installation) -> dict[Series, int]:
    """Distinct cases ever tried on each series, on whatever dataset, failed ones too; of what has been loaded."""
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        rows = connection.execute(
            "select exchange, symbol, timeframe, count(distinct case_key) from raw.results group by all"
        ).fetchall()
    return {Series(exchange=row[0], symbol=row[1], timeframe=row[2]): int(row[3]) for row in rows}


def judging_time_ms(installation: Installation) -> int:
    """The exchange's time as of the newest load: what is judged is no newer, and the exchange need not be there."""
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        row = connection.execute("select epoch_ms(max(started_at)) from raw.loads").fetchone()
    return int(row[0]) if row and row[0] is not None else exchange_time_ms(installation.settings)


def spa_p_values(installation: Installation) -> dict[str, float]:
    """Dataset id -> Hansen's p-value of the whole search on it, where that is known."""
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        rows = connection.execute(
            "select dataset_id, max(spa_p_value) from raw.significance where spa_p_value is not null group by all"
        ).fetchall()
    return {row[0]: float(row[1]) for row in rows}


def _incumbent_row(store: Store, champion: Record, dataset: Dataset) -> Result | None:
    """The champion's result on the dataset, computed here: a forged one could make it fall, or stay for ever.

    None where it cannot be evaluated any more, say because a feature of its is gone: it defends nothing then.
    """
    case = TestCase(**read_card(store, champion["model_id"])["case"])
    row = run_case(case, dataset, worker_name(), code_version())
    return row if row["status"] == "tested" else None


@dataclass(frozen=True)
class _Field:
    """Who may challenge on one dataset.

    Attributes:
        results: of the series on the dataset.
        excluded: cases that are no challengers: the champion's, and those with a claim that was false.
        judged: cases with a verdict on the dataset: when the best one has it, there is nothing to judge.
        distrusted: machines whose results do not count.
    """

    results: list[Record]
    excluded: set[str]
    judged: set[str]
    distrusted: set[str]

    @classmethod
    def of(
        cls, results: list[Record], dataset_id: str, before: list[Record], champion: Record | None, marked: set[str]
    ) -> _Field:
        on_dataset = [verdict for verdict in before if verdict["dataset_id"] == dataset_id]
        false = {verdict["case_key"] for verdict in on_dataset if verdict.get("rule") == "false_claim"}
        excluded = false | ({champion["case_key"]} if champion else set())
        return cls(results, excluded, {verdict["case_key"] for verdict in on_dataset}, marked)

    def challenger(self) -> Result | None:
        best = challenger_of(self.results, self.distrusted, self.excluded)
        return None if best is None or best["case_key"] in self.judged else best


def promote_series(
    installation: Installation,
    series: Series,
    dataset_id: str,
    n_trials: int,
    now_ms: int,
    spa_p_value: float | None = None,
) -> list[Record]:
    """Judge the challenger of one series and seal the verdict; after a false claim, also the next best case's.

    Args:
        installation: store and settings.
        series: whose champion is in question.
        dataset_id: its newest dataset.
        n_trials: cases tried on the series so far.
        now_ms: the exchange's time.
        spa_p_value: of the search on this dataset, if known.

    Returns:
        The new verdicts; none where there is nothing to judge: no result, the champion is still the best case, or the
        same challenger was judged on the same dataset before.
    """
    store, settings = installation.store, installation.settings.promotion
    verdicts = read_verdicts(store)
    before = verdicts_of(series, verdicts)
    champion = current_champion(before)
    field = _Field.of(read_results(store, dataset_id), dataset_id, before, champion, marked_machines(verdicts))
    challenger = field.challenger()
    if challenger is None:
        return []
    dataset = read_dataset(store, dataset_id)
    incumbent = _incumbent_row(store, champion, dataset) if champion else None
    docket = Docket(
        now_ms=now_ms,
        seen_until_ms=seen_until_ms(store, before),
        promoted_at_ms=utc_ms(champion["decided_at"]) if champion else None,
        frozen_model_id=champion["frozen_model_id"] if champion else None,
        n_trials=n_trials,
        spa_p_value=spa_p_value,
    )
    openings = sum(earlier["holdout_opened"] for earlier in before)
    made: list[Record] = []
    while challenger is not None and not (incumbent is not None and challenger["skill"] <= incumbent["skill"]):
        # What the file says of its place is not believed either.
        claimed = {**challenger, **series.model_dump(), "dataset_id": dataset_id}
        verdict = judge_challenger(store, dataset, claimed, incumbent, settings, docket)
        body = verdict_body(claimed, champion["case_key"] if champion else None, verdict, settings, docket)
        openings += int(body["holdout_opened"])
        made.append({**Chain(store, "verdicts").append(body | {"holdout_openings": openings})["body"]})
        if verdict.rule != "false_claim":
            break
        field.distrusted.add(machine_of(claimed["worker"]))
        challenger = field.challenger()
    return made
