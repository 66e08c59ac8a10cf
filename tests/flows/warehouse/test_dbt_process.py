"""dbt processes that are kept loaded: who gets which, when they end, and what becomes of a command."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest

from flows.warehouse import dbt_process
from flows.warehouse.dbt_process import DbtPlace, DbtProcess, kept, process_for
from flows.warehouse.transform import dbt_place
from flows.workspace.database import Warehouse
from tests.dbt_projects import PARSE_VARIABLE

pytestmark = [pytest.mark.warehouse, pytest.mark.usefixtures("small_dbt")]

PLACE, OTHER = (DbtPlace.of(Path("project"), {"TARGET": name}, Path(name)) for name in ("one", "two"))
#: What is loaded for it is not what is loaded for the places above.
ELSEWHERE = DbtPlace.of(Path("another project"), {}, Path("three"))
RENAMED = DbtPlace.of(Path("project"), {"CANDLEWORKS_WAREHOUSE": "renamed.duckdb"}, Path("four"))


class Counted:
    """Stands for a process; none is started for real."""

    started: ClassVar[list[Counted]] = []

    def __init__(self, place: DbtPlace, name: str = "output") -> None:
        self.place = place
        self.is_usable = True
        self.started.append(self)

    def close(self) -> None:
        self.is_usable = False


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """The processes that were started, in order."""
    monkeypatch.setattr(Counted, "started", [])
    monkeypatch.setattr(dbt_process, "DbtProcess", Counted)
    monkeypatch.setattr(dbt_process, "_kept", {})
    return Counted.started


def test_one_process_does_all_commands_of_a_block_and_ends_with_it(started: list[Counted]) -> None:
    with kept(PLACE):
        for _ in range(3):
            with process_for(PLACE) as process:
                assert process is started[0]
        assert started[0].is_usable

    assert len(started) == 1
    assert not started[0].is_usable


def test_a_block_within_a_block_keeps_no_second_process(started: list[Counted]) -> None:
    with kept(PLACE):
        with kept(PLACE), process_for(PLACE):
            pass
        assert started[0].is_usable, "the outer block still needs it"

    assert len(started) == 1


def test_without_a_block_each_command_has_a_process_of_its_own(started: list[Counted]) -> None:
    for _ in range(2):
        with process_for(PLACE):
            pass

    assert [process.is_usable for process in started] == [False, False]


def test_one_process_works_at_all_places_of_its_project(started: list[Counted]) -> None:
    with kept(OTHER):
        for place in (PLACE, OTHER, PLACE):
            with kept(place), process_for(place) as process:
                assert process is started[0]
                assert process.place == place

    assert len(started) == 1


@pytest.mark.parametrize("place", [ELSEWHERE, RENAMED])
def test_a_process_that_has_loaded_something_else_is_not_taken(started: list[Counted], place: DbtPlace) -> None:
    with kept(OTHER), process_for(place):
        pass

    assert [process.place for process in started] == [OTHER, place]


def test_a_process_that_is_no_good_any_more_or_whose_command_failed_is_replaced_once(started: list[Counted]) -> None:
    with kept(PLACE):
        started[0].close()
        for _ in range(2):
            with process_for(PLACE) as process:
                assert process is started[1]
        with pytest.raises(ValueError, match="broken"), process_for(PLACE):
            raise ValueError("broken")
        for _ in range(2):
            with process_for(PLACE) as process:
                assert process is started[2]

    assert not any(process.is_usable for process in started)


def test_a_process_that_is_lent_is_not_lent_twice_and_not_kept_beyond_its_block(started: list[Counted]) -> None:
    with ExitStack() as block:
        block.enter_context(kept(PLACE))
        with process_for(PLACE) as first, process_for(PLACE) as second:
            assert first is not second
            block.close()

    assert not any(process.is_usable for process in started)


def test_a_command_works_in_its_own_place_and_with_its_own_variables(tmp_path: Path) -> None:
    """The tests of the SQL run at the second place only: a variable of the first keeps them out there."""
    homes = [tmp_path / name for name in ("first", "second")]
    for home in homes:
        with Warehouse(home / "warehouse.duckdb").connect():
            pass  # creates the raw tables
    places = [
        dbt_place(home / "warehouse.duckdb", target_path=home / "target", log_path=home, unit_tests=unit_tests)
        for home, unit_tests in zip(homes, (False, True), strict=True)
    ]
    ran = []
    with kept(places[0]):
        for place in (*places, places[0]):
            with process_for(place) as process:
                assert process.run(["build", "--select", "+stg_exchange__candles"]) == 0, process.output.read_text()
            results = json.loads((place.target / "run_results.json").read_text("utf-8"))["results"]
            ran.append([result["unique_id"].split(".")[0] for result in results])

    assert "unit_test" in ran[1]
    assert ran[0] == ran[2] == [kind for kind in ran[1] if kind != "unit_test"]
    for home in homes:
        with Warehouse(home / "warehouse.duckdb").connect() as connection:
            assert connection.sql("select count(*) from staging.stg_exchange__candles").fetchall() == [(0,)]
        assert (home / "dbt.log").exists()


def test_a_process_does_one_command_after_another_and_frees_the_warehouse_between(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    with warehouse.connect():
        pass  # creates the raw tables
    place = dbt_place(warehouse.path, target_path=tmp_path / "target", log_path=tmp_path)
    command = ["run", "--select", "+dim_markets"]
    process = DbtProcess(place)
    try:
        for _ in range(2):
            assert process.run(command) == 0, process.output.read_text()
            with warehouse.connect() as connection:
                assert connection.sql("select count(*) from marts.dim_markets").fetchall() == [(0,)]
        assert process.run(["run", "--no-such-option"]) == dbt_process.EXIT_BROKEN
        assert "no-such-option" in process.output.read_text()
    finally:
        process.close()


@pytest.mark.parametrize("edited", ["project/models/one.sql", "targets.py"])
def test_a_process_is_of_no_use_once_what_it_has_loaded_was_edited(
    edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt_process, "LABEL_LENGTHS", tmp_path / "targets.py")
    (tmp_path / "targets.py").write_text("TARGETS = {}")
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "models" / "one.sql").write_text("select 1")
    process = DbtProcess(DbtPlace.of(project, {}, tmp_path / "target"))
    try:
        (project / "notes.txt").write_text("no part of the project")
        assert process.knows_the_project
        os.utime(tmp_path / edited, ns=(0, (tmp_path / edited).stat().st_mtime_ns + 1))
        assert not process.knows_the_project
        assert not process.is_usable
    finally:
        process.close()


def test_a_home_that_was_moved_is_not_parsed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARSE_VARIABLE)
    for name, is_whole in (("home", True), ("moved", False)):
        home = tmp_path / name
        process = DbtProcess(dbt_place(home / "warehouse.duckdb", target_path=home / "dbt", log_path=home))
        assert process.run(["list", "--select", "dim_markets"]) == 0, process.output.read_text()
        process.close()
        parsed = json.loads((home / "dbt" / "perf_info.json").read_text("utf-8"))["parsed_path_count"]
        assert (parsed > 0) == is_whole
        if is_whole:
            shutil.copytree(home, tmp_path / "moved")


def test_a_process_that_dies_at_its_command_is_not_waited_for(tmp_path: Path) -> None:
    place = dbt_place(tmp_path / "none.duckdb", target_path=tmp_path / "target", log_path=tmp_path)
    process = DbtProcess(place)
    threading.Timer(1.0, process.close).start()

    assert process.run(["build"]) != 0
    assert not process.is_usable


def test_a_project_that_cannot_be_loaded_ends_with_its_reason_in_the_output(tmp_path: Path) -> None:
    variables = {"DBT_PROJECT_DIR": str(tmp_path), "DBT_PROFILES_DIR": str(tmp_path)}
    process = DbtProcess(DbtPlace.of(tmp_path, variables, tmp_path / "target"))

    assert process.run(["build"]) == dbt_process.EXIT_BROKEN
    assert "dbt_project.yml" in process.output.read_text()
    process.close()
