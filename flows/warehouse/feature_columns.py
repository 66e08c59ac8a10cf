"""Which feature columns there are, and which of them the test cases want.

A dataset holds only the columns that some search space or a champion uses: one of all columns would take ten times the
place every night, and datasets are kept because results must stay reproducible.
"""

from __future__ import annotations

from pathlib import Path

import ml
from flows.home.installation import Installation
from flows.warehouse.transform import feature_catalogue
from ml.court.verdicts import champions
from ml.search.spaces import SearchSpace, read_search_spaces
from ml.serving.model_store import read_card

DEFAULT_SPACE = Path(ml.__file__).parent / "search_spaces" / "default.toml"
#: A group's price levels are a group of their own: they say where the price was when a model was trained.
LEVELS = "_levels"


def search_spaces(installation: Installation) -> list[SearchSpace]:
    """The search spaces that the settings name, or the built-in ones.

    Raises:
        CaseError: a file cannot be read.
    """
    files = [Path(name) for name in installation.settings.sweep.search_spaces] or [DEFAULT_SPACE]
    return [space for file in files for space in read_search_spaces(file)]


def catalogue_groups(installation: Installation) -> dict[str, str]:
    """Feature column -> the group that test cases switch it by, in the order of the catalogue.

    Raises:
        StoreError: dbt has not run yet.
    """
    entries = feature_catalogue(installation.dbt_target)
    return {entry["column"]: entry["group"] + ("" if entry["relative"] else LEVELS) for entry in entries}


def wanted_groups(installation: Installation) -> dict[str, str]:
    """The part of the catalogue that a search space may use or a champion does."""
    spaces = search_spaces(installation)
    series = installation.settings.series()
    used = {
        name
        for verdict in champions(installation.store, series).values()
        for name in read_card(installation.store, verdict["model_id"])["case"]["features"]
    }
    return {
        column: group
        for column, group in catalogue_groups(installation).items()
        if column in used or any(space.may_use(column, group) for space in spaces)
    }
