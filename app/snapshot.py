"""Read access to the published snapshot, the dashboard's only source of data.

The newest two versions are kept (`app.versions`). `published/progress.json` is the only live file: the sweep's
progress, rewritten atomically.
"""

from __future__ import annotations

import os

import streamlit as st

from app.versions import Loaded, Snapshot, load_version, newest
from ml.forecasting import published
from ml.records import SnapshotPointer, SweepProgress
from ml.store import Store

__all__ = ["Snapshot", "current_snapshot", "read_pointer", "read_progress", "store_url"]

DEFAULT_STORE = ".candleworks/store"


def store_url() -> str:
    """Folder or URL of the store: `CANDLEWORKS_STORE`, which the launcher sets, or the default home's."""
    return os.environ.get("CANDLEWORKS_STORE") or DEFAULT_STORE


@st.cache_resource(max_entries=2, show_spinner=False)
def _cached(url: str, version: str, files: tuple[str, ...]) -> Loaded:
    return load_version(Store(url), version, files)


def read_pointer() -> SnapshotPointer | None:
    """See `ml.forecasting.published.current_version`."""
    return published.current_version(Store(store_url()))


def current_snapshot() -> Snapshot:
    """See `app.versions.newest`."""
    return newest(Store(store_url()), lambda store, version, files: _cached(store.url, version, files))


def read_progress() -> SweepProgress | None:
    """The sweep's live progress; None if no sweep has run or its file cannot be read."""
    try:
        return published.read_progress(Store(store_url()))
    except OSError:
        return None
