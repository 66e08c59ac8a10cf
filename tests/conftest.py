"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import gc
import logging
import os

# Two workers share the cores, and sums of one thread are the same everywhere. Read when the libraries are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from tests.kinds import (
    GroupScheduling,
    guarded,
    install_guard,
    kinds_of,
    refuse_loaded_packages,
    sort_into_kinds,
)

if TYPE_CHECKING:
    from tests.flows.shared_services import SharedServices
    from tests.installed import Installed

REPOSITORY = Path(__file__).resolve().parent.parent
install_guard()
# The collector of garbage goes through all modules again and again while they are loaded: a sixth of the collection.
gc.set_threshold(100_000, 50, 100)
# Of a machine that is busy with other things no test may fail.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_into_kinds(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    refuse_loaded_packages()
    gc.freeze()  # what is loaded stays: no need to look through it for garbage
    # At each step of each test pytest attaches itself to every logger that does not propagate: streamlit has 67.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("streamlit"):
            logging.getLogger(name).propagate = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    return GroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _held_to_its_kind(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from _held_to_its_kind(item))


def _held_to_its_kind(item: pytest.Item) -> Iterator[None]:
    if kinds_of(item) != ["unit"]:
        return (yield)
    with guarded():
        return (yield)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this run have in common."""
    ours = tmp_path_factory.getbasetemp()
    return ours if worker_id == "master" else ours.parent


@pytest.fixture(scope="session")
def parsed_dbt(shared_folder: Path) -> Iterator[None]:
    """Every process of dbt that starts from here on finds the project parsed."""
    from tests.dbt_projects import parsed  # noqa: PLC0415 - most tests need none of it

    with pytest.MonkeyPatch.context() as patch:
        for name, value in parsed(shared_folder / "parsed_dbt").items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def small_dbt_environment(shared_folder: Path) -> dict[str, str]:
    """The environment in which flows and dbt take the small project (tests/dbt_projects.py)."""
    from tests.dbt_projects import make_small_project, parsed  # noqa: PLC0415 - most tests need none of it

    return parsed(shared_folder / "parsed_small_dbt", make_small_project(shared_folder / "small_dbt"))


@pytest.fixture(scope="module")
def small_dbt(small_dbt_environment: dict[str, str]) -> Iterator[None]:
    """The tests of this file take the small project."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small_dbt_environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def candles_dir() -> Path:
    """The folder of recorded real candles; tests that need it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("CANDLEWORKS_CANDLES", REPOSITORY.parent / "shared" / "candles"))
    if not folder.is_dir():
        pytest.skip(f"no recorded candles at {folder}; set CANDLEWORKS_CANDLES to their folder")
    return folder


@pytest.fixture(scope="session")
def shared_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServices]:
    """A Prefect server for the homes that are attached to it."""
    from tests.flows.shared_services import run_shared_services  # noqa: PLC0415 - most tests need none of it

    with run_shared_services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: None) -> Installed:
    """The wheel of this checkout in an environment of its own."""
    from tests.installed import install_wheel  # noqa: PLC0415 - most tests need none of it

    return install_wheel(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def loaded_dbt(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: None) -> Iterator[None]:
    """dbt, loaded once for all warehouses that the tests of this process transform with the whole project."""
    with _loaded(tmp_path_factory.mktemp("loaded_dbt")):
        yield


@pytest.fixture(scope="session")
def loaded_small_dbt(tmp_path_factory: pytest.TempPathFactory, small_dbt_environment: dict[str, str]) -> Iterator[None]:
    """The same with the small one."""
    with contextlib.ExitStack() as stack:
        with mock.patch.dict(os.environ, small_dbt_environment):
            stack.enter_context(_loaded(tmp_path_factory.mktemp("loaded_small_dbt")))
        yield


def _loaded(folder: Path) -> contextlib.AbstractContextManager[None]:
    from flows.warehouse.dbt_process import kept  # noqa: PLC0415 - most tests need none of it
    from flows.warehouse.transform import dbt_place  # noqa: PLC0415

    return kept(dbt_place(folder / "warehouse.duckdb", target_path=folder / "target", log_path=folder))
