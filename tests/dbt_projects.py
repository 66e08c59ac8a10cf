"""The dbt project as the tests run it: parsed once for all, and a small one where features are not the subject.

To parse the whole project takes 6 s, to read what another process of dbt has parsed takes 1 s; a build of the small
one takes a third of the time.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from filelock import FileLock

from flows.warehouse.dbt_process import DbtProcess
from flows.warehouse.transform import PROJECT_VARIABLE, dbt_place, dbt_project

#: dbt begins with what this file holds, and parses what has changed since.
PARSE_VARIABLE = "DBT_PARTIAL_PARSE_FILE_PATH"
#: One group of each kind: of candles, of the reference market, of a higher timeframe, of exogenous series.
SMALL_GROUPS = (
    *("returns", "candle_shape", "range", "volatility", "rsi", "moving_average", "volume", "calendar"),
    *("market_context", "larger_timeframe", "outside"),
)
LEFT_BY_DBT = shutil.ignore_patterns("__pycache__", "target", "logs")


def parsed(folder: Path, project: Path | None = None) -> dict[str, str]:
    """The environment of a dbt that begins with one parse of a project; whoever comes first makes it.

    Args:
        folder: Takes it, and what else dbt writes; the same for all workers of a run.
        project: Default: the one of the checkout.
    """
    variables = {} if project is None else {PROJECT_VARIABLE: str(project)}
    made = folder / "partial_parse.msgpack"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not made.exists():
            _parse(folder, project or dbt_project(), variables)
            shutil.move(folder / "target" / made.name, made)
    return {**variables, PARSE_VARIABLE: str(made)}


def _parse(folder: Path, project: Path, variables: Mapping[str, str]) -> None:
    with mock.patch.dict(os.environ, variables):
        process = DbtProcess(dbt_place(folder / "warehouse.duckdb", target_path=folder / "target", log_path=folder))
    try:
        assert process.place.project == project
        assert process.run(["list", "--select", "dim_markets"]) == 0, process.output.read_text("utf-8")
    finally:
        process.close()


def make_small_project(folder: Path) -> Path:
    """A copy of the project with a few groups of features; whoever comes first makes it. Returns its folder."""
    small = folder / "dbt"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "copying"):
        if not small.exists():
            shutil.copytree(dbt_project(), folder / "part", ignore=LEFT_BY_DBT)
            _leave_groups(folder / "part")
            (folder / "part").rename(small)
    return small


def _leave_groups(project: Path) -> None:
    for file in (project / "models" / "intermediate" / "features").iterdir():
        if file.stem.removeprefix("int_features__") not in SMALL_GROUPS:
            file.unlink()
    settings = project / "dbt_project.yml"
    groups = "".join(f"    - {group}\n" for group in SMALL_GROUPS)
    listed = r"(?m)^  feature_groups:\n(?:    - \w+\n)+"
    text, found = re.subn(listed, f"  feature_groups:\n{groups}", settings.read_text("utf-8"))
    assert found == 1, "feature_groups is written in another way"
    settings.write_text(text, "utf-8")
