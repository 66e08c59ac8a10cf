"""The search on a simulated market: every case of a field, evaluated on validation rows as a worker does it."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from ml.canaries.markets import CATALOGUE, SERIES, Trial
from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.execution.chunks import run_case
from ml.execution.grouping import fit_together, groups_of
from ml.execution.workers import worker_name
from ml.records import ResultRow
from ml.search.case_ranges import enumerate_cases
from ml.search.cases import TestCase
from ml.search.spaces import read_search_spaces
from ml.version import code_version

FIELD = Path(__file__).parents[1] / "search_spaces" / "canary.toml"


@cache
def field_of_cases() -> tuple[TestCase, ...]:
    """The cases that are tried on every market."""
    return tuple(enumerate_cases(read_search_spaces(FIELD), [SERIES], CATALOGUE))


def search_market(trial: Trial, dataset: Dataset) -> list[ResultRow]:
    """The results of all cases, fitted together where a worker does so too.

    Raises:
        CaseError: a case failed, so a choice among them cannot be assessed.
    """
    results = []
    for group in groups_of(field_of_cases(), dataset):
        together = None
        if len(group) > 1:
            with suppress(CaseError):  # each case is then fitted alone and reports its own error
                together = fit_together(group, dataset)
        results += [run_case(case, dataset, worker_name(), code_version(), together) for case in group]
    for result in results:
        if result["status"] != "tested":
            raise failure(trial, result["error"])
    return results


def failure(trial: Trial, reason: object) -> CaseError:
    """The error of a trial that proves nothing."""
    return CaseError(f"The canary with {trial.rows} rows and seed {trial.seed} cannot be evaluated: {reason}")
