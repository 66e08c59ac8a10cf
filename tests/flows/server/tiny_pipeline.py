"""Flows with the signatures of the real ones, for a deployment that a test runs for real."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from prefect import flow, task

from flows.warehouse.feature_columns import search_spaces
from flows.workspace.workspace import open_workspace


@task
def leave_a_mark(home: str, config: str) -> None:
    """Write down who ran, in which folder, and which search spaces the real flows would find from there."""
    mark = {
        "folder": str(Path.cwd()),
        "home": os.environ["CANDLEWORKS_HOME"],
        "config": os.environ["CANDLEWORKS_CONFIG"],
        "spaces": [space.name for space in search_spaces(open_workspace(home, config))],
    }
    Path(home, "mark.json").write_text(json.dumps(mark), encoding="utf-8")


@flow
def hourly(home: str | None = None, config: str | None = None) -> None:
    """Leave a mark."""
    assert home and config
    leave_a_mark(home, config)


@flow
def nightly(home: str | None = None, config: str | None = None) -> None:
    """Work until killed."""
    time.sleep(600)


@flow
def review(home: str | None = None, config: str | None = None) -> None:
    """Never due while the tests run."""


@flow
def analyses(home: str | None = None, config: str | None = None) -> None:
    """Never due while the tests run."""


@flow
def monthly(home: str | None = None, config: str | None = None, month: str | None = None) -> None:
    """Never due while the tests run."""


@flow
def watch(home: str | None = None, config: str | None = None) -> None:
    """Has no schedule here."""


@flow
def run_chunk(store_url: str, dataset_id: str, chunk_id: str) -> None:
    """Never submitted by the tests."""
