"""Parts of the dbt project: each model edited and built by each selection; and builds that are killed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from flows.warehouse.transform import dbt_project
from tests.dbt.built import BUILD_CANDLES
from tests.partial_builds.kills import kill_a_build
from tests.partial_builds.selections import FORMS, outcomes
from tests.partial_builds.worlds import (
    build_world,
    copied_project,
    copy_of,
    full_build,
    in_folder,
    sums_of,
)

Say = Callable[[str], None]
EDITED = ("int_features__returns", "int_features__zscore", "int_candles__resampled")


def selections(folder: Path, models: list[str], say: Say) -> list[str]:
    """The table of selections, of all models of the candle half or of these; what breaks a promise, in words."""
    old = in_folder(folder / "old")
    build_world(old)
    found = []
    with copied_project(dbt_project(), folder / "project", old) as project:
        chosen = models or project.models
        say(f"{len(chosen)} models by {len(FORMS)} selections; rows and checksums are those after the plain run")
        for outcome in outcomes(old, project, chosen, folder):
            say(f"  {outcome}")
            found += outcome.differences
    return found


def killed_builds(folder: Path, kills: int, seed: int, say: Say) -> list[str]:
    """Builds after an edit of three models, killed at random moments; what a plain run then leaves wrong, in words."""
    draw = random.Random(seed)
    old = in_folder(folder / "old")
    build_world(old)
    found = []
    with copied_project(dbt_project(), folder / "project", old) as project:
        for model in EDITED:
            project.edit(model)
        whole = sums_of(full_build(old, folder / "whole"))
        for number in range(1, kills + 1):
            built = copy_of(old, folder / "killed")
            moment = kill_a_build(built, draw)
            built.run(BUILD_CANDLES)
            after = sums_of(built)
            wrong = [name for name in whole if after[name] != whole[name]]
            say(f"  kill {number:>2}, {moment}, then a plain run: {'DIFFERENT' if wrong else 'EQUAL'}")
            found += [f"after kill {number}, {moment}, a plain run leaves {name} wrong" for name in wrong]
    return found
