"""Effects: what moved the skill, computed from the results in the store and kept there for the snapshot."""

from __future__ import annotations

from collections.abc import Callable

from flows.analysis.series import chosen_datasets, key_of
from flows.reporting import Reporter
from flows.workspace.workspace import Workspace
from ml.analysis.effects import effect_cases, effect_tables
from ml.analysis.records import EffectCaseRow
from ml.analysis.tables import read_rows, write_tables
from ml.execution.results import read_results
from ml.series import Series

#: Computes one series: (workspace, series, dataset, again) -> whether it was due.
Refresh = Callable[[Workspace, Series, str, bool], bool]
_COLUMNS = ["case_json", "status", "skill"]


def refresh_effects(workspace: Workspace, series: Series, dataset_id: str, again: bool) -> bool:
    """Compute and store the effects of a series; False if they are those of all its present results."""
    cases = effect_cases(key_of(series, dataset_id), read_results(workspace.store, dataset_id, _COLUMNS))
    if not again and _same(cases, read_rows(workspace.store, dataset_id, "effect_cases")):
        return False
    ranked, values = effect_tables(key_of(series, dataset_id), cases)
    write_tables(workspace.store, dataset_id, {"effects": ranked, "effect_values": values, "effect_cases": cases})
    return True


def _same(cases: list[EffectCaseRow], stored: list[EffectCaseRow] | None) -> bool:
    return stored is not None and [one["case_key"] for one in stored] == [one["case_key"] for one in cases]


def run_effects(
    workspace: Workspace,
    reporter: Reporter,
    symbol: str | None = None,
    timeframe: str | None = None,
    again: bool = False,
    refresh: Refresh = refresh_effects,
) -> list[Series]:
    """Compute the effects of every series whose results have changed since, or of all with `again`.

    Returns:
        The series that were computed.
    """
    datasets = chosen_datasets(workspace, symbol, timeframe)
    computed = []
    with reporter.step("effects") as step:
        for number, (series, dataset_id) in enumerate(datasets.items()):
            if refresh(workspace, series, dataset_id, again):
                computed.append(series)
            step.count(number + 1, len(datasets))
        step.say(f"{len(computed)} of {len(datasets)} series computed")
    return computed
