"""What the dashboard's tests share: a published snapshot with SQL over it, and readers of a page that was run."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest

OpenPage = Callable[..., AppTest]
BTC = "symbol = 'BTC/USDT' and timeframe = '1h'"


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
    return unescape(re.sub(r"<script>.*?</script>|<[^>]+>", " ", " ".join(parts), flags=re.DOTALL))


def plain(app: AppTest) -> str:
    """The same with single spaces and none before punctuation, where tags ended."""
    return re.sub(r" ([,;:.)])", r"\1", " ".join(text(app).split()))


def table(app: AppTest, column: str) -> pd.DataFrame:
    """The first table that has a column."""
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def signed(percent: float, digits: int) -> str:
    """A percentage with its sign, written by hand so that a wrong format of the app is seen."""
    written = f"{percent:+.{digits}f} %"
    return written.replace("-", "\N{MINUS SIGN}") if float(written[:-2]) else f"{0:.{digits}f} %"


def values(data: Any) -> list[Any]:
    """Numbers of a figure: a list, or the bytes that plotly makes of an array."""
    if isinstance(data, list):
        return data
    return list(np.frombuffer(base64.b64decode(data["bdata"]), dtype=data["dtype"]))


def same(shown: pd.Series, expected: pd.Series) -> None:
    """Both columns hold the same."""
    pd.testing.assert_series_equal(shown, expected, check_names=False, check_dtype=False, check_index=False)
