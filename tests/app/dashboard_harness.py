"""What the dashboard's tests share: a published snapshot with SQL over it, and readers of a page that was run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import duckdb
import pandas as pd
from streamlit.testing.v1 import AppTest


@dataclass(frozen=True)
class Published:
    """A store with a published snapshot, and SQL over the very same files."""

    store: Path
    folder: Path

    def sql(self, query: str) -> pd.DataFrame:
        with duckdb.connect(":memory:") as database:
            for file in self.folder.glob("*.parquet"):
                database.execute(f"create view {file.stem} as select * from '{file}'")
            return database.execute(query).df()

    def cell(self, query: str) -> object:
        return self.sql(query).iloc[0, 0]


def metrics(app: AppTest) -> dict[str, str]:
    """Label -> value of the page's numbers."""
    return {metric.label: metric.value for metric in app.metric}


def text(app: AppTest) -> str:
    """All words of the page's HTML, notes and captions, without tags."""
    parts = [element.value for kind in (app.html, app.markdown, app.caption, app.info, app.warning) for element in kind]
    return unescape(re.sub(r"<[^>]+>", " ", " ".join(parts)))


def table(app: AppTest, column: str) -> pd.DataFrame:
    """The first table that has a column."""
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)
