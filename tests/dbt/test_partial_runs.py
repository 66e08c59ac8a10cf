"""Any selection of the candle half: the tables are right, or dbt says in one line what to build, and the next whole run
is right. In a copy of the project in which most models have been edited.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from built import BUILD_CANDLES, Built, by_series
from test_incremental import assert_same

from flows.warehouse.dbt_process import process_for
from flows.warehouse.transform import PROJECT_VARIABLE
from ml.errors import CandleworksError, StoreError
from tests.partial_builds.kills import kill_a_build
from tests.partial_builds.selections import outcomes
from tests.partial_builds.worlds import (
    END,
    REMEDY,
    Copy,
    build_world,
    copied_project,
    copy_project,
    in_folder,
    load_news,
    sums_of,
)

pytestmark = [pytest.mark.warehouse, pytest.mark.usefixtures("small_dbt", "loaded_small_dbt")]

TABLES = ("fct_candles", "fct_features", "fct_labels")
#: Of what is drawn here; `make drill` takes all models (DRILL=selections), and other moments.
SEED = 20241

#: Model -> what its last line becomes. Each changes what the model says.
EDITS = {
    "int_features__range": "select * replace (2 * range_high_mean_6 as range_high_mean_6) from final",
    "int_features__rsi": "select * replace (2 * rsi_6 as rsi_6) from final",
    # others look at it
    "int_features__returns": "select * replace (2 * log_return_1 as log_return_1) from final",
    # it breaks where raw.sources says so
    "int_features__calendar": (
        "select * replace (case when (select count(*) from raw.sources where symbol = 'BREAK') > 0 "
        "then error('broken on purpose') else candle_id end as candle_id) from final"
    ),
    "int_candles__resampled": "select * replace (volume + 1 as volume) from final",
    "int_candles__raster": "select * replace (volume + 1 as volume) from final",
    "int_candles__featured": "select * from final where true",
    "int_candles__lists": "select * from final where true",
    "int_candles__tails": "select * from final where true",
    "int_candles__news": "select * from final where true",
    "fct_labels": "select * replace (2 * label_high as label_high) from final",
    "fct_candles": "select * replace (2 * volume as volume) from final",
    "fct_features": "select * from final where true",
    "dim_markets": "select * from final where true",
}
#: How each is selected after the edit, in this order: alone, with what is above it, with what is below it.
SELECTIONS = [
    *(f"{sign}{name}" for name, sign in zip(EDITS, ["", "+", "", "", "+", ""] + [""] * 8, strict=True)),
    *(f"{name}+" for name in ("int_features__range", "int_candles__lists", "int_features__returns")),
]


@pytest.fixture(scope="module")
def small(small_dbt_environment: dict[str, str]) -> Path:
    """The project as it is before any edit."""
    return Path(small_dbt_environment[PROJECT_VARIABLE])


@pytest.fixture(scope="module")
def world(make_built: Callable[[str], Built]) -> Built:
    """Two markets, built by the project as it is; afterwards it is the copy with the edits that builds."""
    built = make_built("partial")
    build_world(built)
    return built


@pytest.fixture(scope="module")
def edited(world: Built, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with copied_project(small, tmp_path_factory.mktemp("edited") / "dbt", world) as project:
        for name, last_line in EDITS.items():
            project.edit(name, last_line)
        yield project


@pytest.fixture
def old(world: Built, edited: Copy, make_built: Callable[[str], Built]) -> Built:
    """What the project built before the edits."""
    return copy_of(world, make_built)


@pytest.fixture(scope="module")
def whole(world: Built, edited: Copy, make_built: Callable[[str], Built]) -> Built:
    """What the edited project builds of the same candles, all anew."""
    built = copy_of(world, make_built)
    built.run([*BUILD_CANDLES, "--full-refresh"])
    return built


@pytest.fixture
def current(whole: Built, make_built: Callable[[str], Built]) -> Built:
    return copy_of(whole, make_built)


@pytest.fixture
def with_news(whole: Built, make_built: Callable[[str], Built]) -> Built:
    """Built by the edited project, with newer candles and a revised one in raw."""
    built = copy_of(whole, make_built)
    load_news(built)
    return built


@pytest.fixture(scope="module")
def whole_with_news(whole: Built, make_built: Callable[[str], Built]) -> Built:
    built = copy_of(whole, make_built)
    load_news(built)
    built.run([*BUILD_CANDLES, "--full-refresh"])
    return built


def copy_of(built: Built, make_built: Callable[[str], Built]) -> Built:
    copy = make_built("copy")
    shutil.copy(built.warehouse.path, copy.warehouse.path)
    return copy


def assert_same_tables(built: Built, expected: Built) -> None:
    for name in TABLES:
        with built.warehouse.connect() as one, expected.warehouse.connect() as other:
            found, wanted = by_series(one, name), by_series(other, name)
        assert found.keys() == wanted.keys()
        for series, table in found.items():
            assert_same(table, wanted[series])


def rows_of(built: Built, name: str) -> int:
    with built.warehouse.connect() as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
    return int(rows)


def column(built: Built, name: str) -> np.ndarray:
    with built.warehouse.connect() as connection:
        found = connection.execute(f"SELECT {name} FROM marts.fct_features ORDER BY candle_id").fetchnumpy()[name]
    return np.ma.filled(found.astype(float), np.nan)


def said_by(built: Built, command: list[str]) -> str:
    """What dbt raises, up to where in the project; empty if it did what it was told."""
    try:
        built.run(command)
    except StoreError as error:
        return str(error).partition(" > in macro")[0]
    return ""


def test_an_edited_model_may_be_built_by_any_selection(old: Built, whole: Built) -> None:
    rows, before = rows_of(old, "marts.fct_features"), column(old, "range_high_mean_6")
    for selection in SELECTIONS:
        told = said_by(old, ["build", "--select", selection])
        assert not told or told.endswith(" together: dbt build --select tag:candles"), told
        assert rows_of(old, "marts.fct_features") == rows, selection
        if selection == "int_features__range":
            assert not told
            np.testing.assert_array_equal(column(old, "range_high_mean_6"), 2 * before)
    old.run(BUILD_CANDLES)
    assert_same_tables(old, whole)


@pytest.mark.parametrize("selection", ["int_features__rsi+", "int_features__rsi", "int_candles__featured"])
def test_a_full_refresh_of_a_part_keeps_all_rows(selection: str, current: Built, whole: Built) -> None:
    current.run(["build", "--full-refresh", "--select", selection])
    assert_same_tables(current, whole)


def test_a_group_that_is_left_out_does_not_lose_the_newest_candles(with_news: Built, whole_with_news: Built) -> None:
    rows = rows_of(with_news, "intermediate.int_candles__featured")
    with pytest.raises(StoreError, match=r"missing in int_features__volume, so .* dbt build --select tag:candles"):
        with_news.run([*BUILD_CANDLES, "--exclude", "int_features__volume"])
    assert rows_of(with_news, "intermediate.int_candles__featured") == rows
    with_news.run(BUILD_CANDLES)
    assert_same_tables(with_news, whole_with_news)


def test_tails_and_lists_of_different_runs_are_not_mixed(with_news: Built, whole_with_news: Built) -> None:
    rows = rows_of(with_news, "intermediate.int_features__rsi")
    with_news.run(["build", "--select", "+int_candles__tails"])
    with pytest.raises(StoreError, match=r"int_features__rsi stays as it was\. .* dbt build --select tag:candles"):
        with_news.run(["build", "--select", "int_features__rsi"])
    assert rows_of(with_news, "intermediate.int_features__rsi") == rows
    with_news.run(BUILD_CANDLES)
    assert_same_tables(with_news, whole_with_news)


def test_a_run_that_broke_is_gone_on_with_by_retry(with_news: Built, whole_with_news: Built) -> None:
    with with_news.warehouse.connect() as connection:
        connection.execute("INSERT INTO raw.sources VALUES ('test', 'BREAK', 'x', 'x', 0, 1)")
    rows = rows_of(with_news, "marts.fct_features")
    with pytest.raises(CandleworksError, match="broken on purpose"):
        with_news.run(BUILD_CANDLES)
    assert rows_of(with_news, "marts.fct_features") == rows
    with with_news.warehouse.connect() as connection:
        connection.execute("DELETE FROM raw.sources WHERE symbol = 'BREAK'")
    # by hand: `run_dbt` forgets how the run before ended
    with process_for(with_news.place) as process:
        assert process.run(["retry"]) == 0
    assert_same_tables(with_news, whole_with_news)


def test_no_table_is_emptied_and_called_current(old: Built) -> None:
    rows = rows_of(old, "intermediate.int_features__range")
    with pytest.raises(StoreError, match=r"int_features__range has 0 rows for \d+ candles; the table stays as it was"):
        old.run(["run", "--empty", "--select", "int_features__range"])
    assert rows_of(old, "intermediate.int_features__range") == rows


def test_a_table_that_an_earlier_version_emptied_is_filled_again(current: Built, whole: Built) -> None:
    with current.warehouse.connect() as connection:
        connection.execute("DELETE FROM intermediate.int_features__range")  # its stamp stays
    current.run(BUILD_CANDLES)
    assert_same_tables(current, whole)


def test_what_a_partial_run_leaves_behind_is_named(with_news: Built) -> None:
    with_news.run(["build", "--select", "+int_features__rsi"])
    said = (with_news.log_path / "dbt.log").read_text("utf-8")
    (line,) = [line for line in said.splitlines() if "Without the newest candles" in line]
    assert "int_candles__featured, int_features__calendar, int_features__candle_shape and 8 more." in line
    assert line.endswith("dbt build --select tag:candles")


def dbt_by_hand(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """dbt's own command line in the project of a folder, beside the default home of that folder."""
    dbt = [Path(sys.executable).with_name("dbt"), *command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CANDLEWORKS", "DBT_"))}
    return subprocess.run(dbt, cwd=folder / "dbt", env=environment, capture_output=True, text=True, check=False)


def home_of(world: Built, folder: Path) -> Built:
    """The warehouse as the default home of a folder."""
    (folder / ".candleworks").mkdir()
    shutil.copy(world.warehouse.path, folder / ".candleworks")
    return in_folder(folder / ".candleworks")


def test_what_was_edited_since_a_state_may_be_built_alone_and_retried(
    world: Built, small: Path, tmp_path: Path
) -> None:
    """By dbt's own command line, without a variable; the edits change no value, so the world is what must come out."""
    project, home = copy_project(small, tmp_path / "dbt"), home_of(world, tmp_path)
    project.edit("int_features__rsi", f"{END} where true")
    project.edit("int_features__calendar", f"{END} where error('broken on purpose')")
    broken = dbt_by_hand(tmp_path, "build", "--select", "state:modified", "--state", world.target_path)
    assert broken.returncode == 1, broken.stdout
    assert "broken on purpose" in broken.stdout
    assert "OK created sql feature_table model intermediate.int_features__rsi " in broken.stdout, broken.stdout
    touched = set(re.findall(r"(?:model|relation) intermediate\.(\w+)", broken.stdout))
    assert touched == {"int_features__rsi", "int_features__calendar"}
    assert sums_of(home) == sums_of(world)
    project.restore("int_features__calendar")
    project.edit("int_features__calendar", f"{END} where true")
    shutil.copytree(tmp_path / "dbt" / "target", tmp_path / "state")
    retried = dbt_by_hand(tmp_path, "retry", "--state", tmp_path / "state")
    assert retried.returncode == 0, retried.stdout
    assert "int_features__calendar" in retried.stdout
    assert "int_features__rsi " not in retried.stdout
    assert f"This builds them anew: {REMEDY}" in retried.stdout  # market_context, say, looks at others
    plain = dbt_by_hand(tmp_path, *BUILD_CANDLES)
    assert plain.returncode == 0, plain.stdout
    assert sums_of(home) == sums_of(world)


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_after_a_build_that_was_killed_the_next_one_makes_all_right(
    seed: int, old: Built, whole_with_news: Built
) -> None:
    load_news(old)
    moment = kill_a_build(old, random.Random(seed))
    sys.stdout.write(f"seed {seed}: killed {moment}\n")
    old.run(BUILD_CANDLES)
    assert_same_tables(old, whole_with_news)


def test_each_selection_of_an_edited_model_is_right_or_says_what_to_build(
    world: Built, small: Path, tmp_path: Path
) -> None:
    with copied_project(small, tmp_path / "project", world) as project:
        sample = random.Random(SEED).sample(project.models, 1)
        for outcome in outcomes(world, project, sample, tmp_path):
            sys.stdout.write(f"seed {SEED}: {outcome}\n")
            assert outcome.differences == []
