"""The feature columns, and those of them that test cases use.

A dataset holds only the columns that a search space or a champion uses: with all columns it would take ten times the
space every night, and datasets are kept because results must stay reproducible.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ml
from flows.settings import Settings
from flows.warehouse.transform import feature_catalogue
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError, StoreError
from ml.promotion.champion_case import champion_case
from ml.promotion.verdicts import champions
from ml.records import VerdictRecord
from ml.search.cases import unknown_problem
from ml.search.spaces import SearchSpace, raise_problems, read_search_spaces
from ml.series import Series
from ml.store import Store

DEFAULT_SPACE = Path(ml.__file__).parent / "search_spaces" / "default.toml"
#: A group's price levels form a group of their own: they depend on the price level at which a model was trained.
LEVELS = "_levels"


def search_spaces(workspace: Workspace) -> list[SearchSpace]:
    """The search spaces that the settings name, checked against the configured series, or the built-in ones.

    Raises:
        CaseError: a file cannot be read, or a space is wrong or is for a market or timeframe that is not configured.
    """
    files = [Path(name) for name in workspace.settings.sweep.search_spaces]
    if not files:
        return read_search_spaces(DEFAULT_SPACE)  # for all timeframes, also those that are not configured
    spaces = {file: read_search_spaces(file) for file in files}
    if workspace.settings.sweep.unused_spaces == "refuse":
        series = workspace.settings.series()
        for file, read in spaces.items():
            raise_problems(str(file), [problem for space in read for problem in space.series_problems(series)])
    return [space for read in spaces.values() for space in read]


def with_spaces(workspace: Workspace, files: Sequence[Path]) -> Workspace:
    """The workspace with these files of search spaces instead of those of its settings; unchanged without any.

    Raises:
        CaseError: as of `search_spaces`.
    """
    if files:
        sweep = workspace.settings.sweep.model_copy(
            update={"search_spaces": tuple(str(file.resolve()) for file in files)}
        )
        settings = workspace.settings.model_copy(update={"sweep": sweep})
        workspace = Workspace(workspace.home, settings)
    search_spaces(workspace)
    return workspace


def chosen_series(settings: Settings, symbols: Sequence[str] | None, timeframes: Sequence[str] | None) -> list[Series]:
    """The configured series of these markets and timeframes; None or empty means all.

    Raises:
        ConfigurationError: one is not configured.
    """
    markets = settings.markets
    for what, names, known in (("symbol", symbols, markets.symbols), ("timeframe", timeframes, markets.timeframes)):
        for name in names or ():
            if problem := unknown_problem(what, name, known):
                raise ConfigurationError(problem)
    return [
        one
        for one in settings.series()
        if (not symbols or one.symbol in symbols) and (not timeframes or one.timeframe in timeframes)
    ]


def catalogue_groups(workspace: Workspace) -> dict[str, str]:
    """Feature column -> the group by which test cases select it, in the order of the catalogue.

    Raises:
        StoreError: dbt has not run yet.
    """
    entries = feature_catalogue(workspace.dbt_target)
    return {entry["column"]: entry["group"] + ("" if entry["relative"] else LEVELS) for entry in entries}


def _features(store: Store, champion: VerdictRecord) -> tuple[str, ...]:
    """The features of a champion; none where its case is lost, which its forecast and its review report."""
    try:
        return champion_case(store, champion).features
    except StoreError:
        return ()


def wanted_groups(workspace: Workspace) -> dict[str, str]:
    """The part of the catalogue that a search space may use or a champion uses.

    Raises:
        CaseError: a search space names a group or column that the catalogue does not have.
    """
    spaces = search_spaces(workspace)
    catalogue = catalogue_groups(workspace)
    problems = [problem for space in spaces for problem in space.catalogue_problems(catalogue)]
    raise_problems("Feature catalogue", problems)
    series = workspace.settings.series()
    used = {
        name for verdict in champions(workspace.store, series).values() for name in _features(workspace.store, verdict)
    }
    return {
        column: group
        for column, group in catalogue.items()
        if column in used or any(space.may_use(column, group) for space in spaces)
    }
