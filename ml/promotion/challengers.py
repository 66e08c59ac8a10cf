"""Challengers: the case of a dataset that challenges the champion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ml.execution.results import first_of_each
from ml.execution.workers import machine_of
from ml.promotion.finalists import finalists
from ml.promotion.recomputation import is_complete
from ml.records import ResultRow, VerdictRecord


def challenger_of(
    results: list[ResultRow], without_machines: Collection[str] = (), without_cases: Collection[str] = ()
) -> ResultRow | None:
    """The case that represents the best contender on validation, by mean over seeds (see `ml.promotion.finalists`).

    Args:
        results: of one series and dataset, in the order in which they count; of a case the first trusted one.
        without_machines: machines whose results are not trusted.
        without_cases: keys of excluded cases.
    """
    trusted = (
        row
        for row in results
        if is_complete(row)
        and row["case_key"] not in without_cases
        and machine_of(row["worker"]) not in without_machines
    )
    candidates = {row["case_key"]: row for row in first_of_each(trusted)}
    best = finalists(candidates.values(), most=1)
    return candidates[best[0].case_key] if best else None


@dataclass(frozen=True)
class Candidates:
    """The possible challengers on one dataset.

    Attributes:
        results: of the series on the dataset, in the order in which they count.
        excluded: the champion's case, and cases that failed verification without a mark on a machine: with one, another
            machine's result of the case counts.
        evaluated: cases with another verdict on the dataset; if the best one has one, there is no challenger.
        distrusted: machines whose results do not count.
    """

    results: list[ResultRow]
    excluded: set[str]
    evaluated: set[str]
    distrusted: set[str]

    @classmethod
    def of(
        cls,
        results: list[ResultRow],
        dataset_id: str,
        before: list[VerdictRecord],
        champion: VerdictRecord | None,
        marked: set[str],
    ) -> Candidates:
        on_dataset = [verdict for verdict in before if verdict["dataset_id"] == dataset_id]
        false = [verdict for verdict in on_dataset if verdict.get("rule") == "false_claim"]
        failed = {verdict["case_key"] for verdict in false if not verdict.get("false_claim_worker")}
        excluded = failed | ({champion["case_key"]} if champion else set())
        evaluated = {verdict["case_key"] for verdict in on_dataset if verdict.get("rule") != "false_claim"}
        return cls(results, excluded, evaluated, marked)

    def without(self, refused: VerdictRecord) -> ResultRow | None:
        """The next challenger after one whose result was false."""
        if worker := refused["false_claim_worker"]:
            self.distrusted.add(machine_of(worker))
        else:
            self.excluded.add(refused["case_key"])
        return self.challenger()

    def challenger(self) -> ResultRow | None:
        best = challenger_of(self.results, self.distrusted, self.excluded)
        return None if best is None or best["case_key"] in self.evaluated else best
