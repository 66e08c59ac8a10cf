"""dbt processes that are loaded ahead: who gets which, and what becomes of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import dbt_process
from flows.dbt_process import DbtPlace, DbtProcess, prepare, take

PLACE, OTHER = (DbtPlace.of(Path("project"), {"TARGET": name}, Path(name)) for name in ("one", "two"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[DbtPlace]:
    """The places of the processes that were started, in order; none is started for real."""
    places: list[DbtPlace] = []

    class Counted:
        def __init__(self, place: DbtPlace, number: int) -> None:
            places.append(place)
            self.order = len(places)

    monkeypatch.setattr(dbt_process, "DbtProcess", Counted)
    monkeypatch.setattr(dbt_process, "_ahead", {})
    return places


def test_each_taken_process_has_the_next_one_started_until_there_were_so_many(started: list[DbtPlace]) -> None:
    prepare(PLACE, 2)
    assert len(started) == 1

    assert take(PLACE).order == 1  # type: ignore[attr-defined]
    assert len(started) == 2, "the second one loads while the first one works"
    assert take(PLACE).order == 2  # type: ignore[attr-defined]
    assert len(started) == 2

    assert take(PLACE).order == 3  # type: ignore[attr-defined]


def test_a_process_of_another_place_is_not_taken(started: list[DbtPlace]) -> None:
    prepare(OTHER, 1)

    take(PLACE)

    assert started == [OTHER, PLACE]


def test_who_prepares_twice_has_one_process(started: list[DbtPlace]) -> None:
    prepare(PLACE, 1)
    prepare(PLACE, 1)

    assert len(started) == 1


def test_a_project_that_cannot_be_loaded_ends_with_its_reason_in_the_output(tmp_path: Path) -> None:
    variables = {"DBT_PROJECT_DIR": str(tmp_path), "DBT_PROFILES_DIR": str(tmp_path)}
    process = DbtProcess(DbtPlace.of(tmp_path, variables, tmp_path / "target"), 0)

    assert process.run(["build"]) == dbt_process.EXIT_BROKEN
    assert "dbt_project.yml" in process.output.read_text()
