"""A synthetic published snapshot, and the dashboard run over it without a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import streamlit as st
from dashboard_harness import Published
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from synthetic_snapshot import write_once

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"


@pytest.fixture(scope="session", autouse=True)
def scan_packages_once() -> Iterator[None]:
    """Streamlit looks through all installed packages for components at every run of a page; there are none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(scope="session")
def snapshot(shared_folder: Path) -> Path:
    """A store with the synthetic snapshot, which has fixed times; for tests to read or to copy."""
    return write_once(shared_folder / "synthetic_snapshot")


@pytest.fixture
def published(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    shutil.copytree(snapshot, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("CANDLEWORKS_STORE", str(tmp_path))
    st.cache_resource.clear()
    st.cache_data.clear()  # the made-up snapshots of all tests have one version
    return Published(tmp_path, next(path for path in (tmp_path / "published").iterdir() if path.is_dir()))


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CANDLEWORKS_STORE", str(tmp_path))
    st.cache_resource.clear()
    st.cache_data.clear()  # the made-up snapshots of all tests have one version
    return tmp_path


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Run the dashboard at a page ("today", "forecasts", ...), for a series or with a query of the address."""

    def open_it(page: str, series: str | None = None, query: dict[str, str] | None = None) -> AppTest:
        app = AppTest.from_file(str(MAIN), default_timeout=60)
        if page != "today":
            app.switch_page(f"views/{page}.py")
        for key, value in (query or {}).items():
            app.query_params[key] = value
        app.run()
        if series:
            app.selectbox(key="series").set_value(series).run()
        assert not app.exception, app.exception[0].message
        return app

    return open_it
