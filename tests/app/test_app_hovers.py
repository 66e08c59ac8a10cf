"""Hovers of all figures: each says its name once, and no mark hides a raw name of the code."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from dashboard_harness import OpenPage, Published, values

from app.navigation import PAGES

#: Pages with figures over the synthetic snapshot, each with a choice that draws most of them.
QUERIES = {"forecasts": {"replay_shown": "true"}}


def hovers(trace: dict[str, Any]) -> list[str]:
    """What a reader sees at the points of a trace: the text, then the name that Plotly adds unless it is replaced."""
    template = trace.get("hovertemplate")
    if template is None or trace.get("hoverinfo") == "skip":
        return []
    body, _, extra = template.partition("<extra>")
    added = extra.removesuffix("</extra>") if "<extra>" in template else trace.get("name", "")
    return [f"{filled(body, cells)}|{added}" for cells in cells_of(trace)]


def cells_of(trace: dict[str, Any]) -> list[list[Any]]:
    """The custom data of the first points of a trace; one empty row where it has none."""
    data = trace.get("customdata") or [[]]
    if not isinstance(data, list):
        shape = [int(size) for size in str(data.get("shape", "-1")).split(",")]
        data = np.reshape(values(data), shape).tolist()
    return [row if isinstance(row, list) else [row] for row in data[:50]]


def filled(template: str, cells: list[Any]) -> str:
    """A template with the cells of a point in it."""
    return re.sub(r"%\{customdata(?:\[(\d+)\])?[^}]*\}", lambda hit: str(cells[int(hit[1] or 0)]), template)


@pytest.mark.parametrize("page", [page.view for page in PAGES])
def test_no_hover_says_its_name_twice(published: Published, open_page: OpenPage, page: str) -> None:
    app = open_page(page, query=QUERIES.get(page))
    of_code = published.sql("select distinct model from leaderboard union select distinct baseline from leaderboard")
    raw = [name for name in of_code.iloc[:, 0] if name and "_" in name]
    assert "ewma_range" in raw
    for chart in app.get("plotly_chart"):
        figure = json.loads(chart.proto.spec)
        unified = figure["layout"].get("hovermode") == "x unified"
        for trace in figure["data"]:
            for hover in hovers(trace):
                body, _, added = hover.partition("|")
                assert not (added and re.search(rf"\b{re.escape(added)}\b", body)), (page, hover)
                assert not any(name in hover for name in raw), (page, hover)
                if unified:  # its head is the time
                    assert "%{x" not in body, (page, hover)
