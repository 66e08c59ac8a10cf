"""Decision boundary: where a classifier decides, over two of its inputs, and whether it is worth a look."""

from __future__ import annotations

import json
from html import escape
from typing import cast

import pandas as pd
import streamlit as st

from app import boundary_charts, components, formats
from app.commands import command
from app.figures import show
from app.snapshot import Snapshot
from app.terms import TERMS, explained
from ml.analysis.boundary import accuracy_sentence, is_better
from ml.analysis.records import BoundaryRow

BOUNDARIES_SQL = f"""
select * from boundaries where {components.OF_SERIES} order by is_default desc, x_feature, y_feature
"""
CELLS_SQL = f"select * from boundary_cells where {components.OF_SERIES} and x_feature = ? and y_feature = ?"
POINTS_SQL = f"""
select * from boundary_points where {components.OF_SERIES} and x_feature = ? and y_feature = ? order by open_time
"""


def _chosen(rows: pd.DataFrame) -> pd.Series:
    if len(rows) == 1:
        return rows.iloc[0]
    names = [f"{row.x_feature} and {row.y_feature}" for row in rows.itertuples()]
    components.warn_of_unknown("plane", names)
    name = st.selectbox(
        "Plane of", names, key="plane", bind="query-params", help=f"{command('boundary --x --y')} draws further ones."
    )
    return rows.iloc[names.index(str(name))]


def _worth(row: pd.Series) -> None:
    """The sentence before the picture."""
    record = cast(BoundaryRow, row.to_dict())
    components.note(escape(accuracy_sentence(record)), "good" if is_better(record) else "")
    components.numbers(
        "boundary",
        [
            ("Right", formats.share(row.accuracy, 1), TERMS["accuracy"]),
            (f"Always {row.majority_class}", formats.share(row.majority_accuracy, 1), TERMS["most frequent class"]),
            ("Held-out rows", formats.count(row.n_held_out), "Rows of validation, later than those it learnt from."),
            ("Inputs", formats.count(row.n_inputs), "All but the two of the plane are at their median."),
        ],
    )


def draw(snapshot: Snapshot) -> None:
    """Draw the page below its head."""
    if components.nothing_published(snapshot):
        return
    series = components.choose_series(snapshot)
    if series is None:
        return
    if {"boundaries", "boundary_cells", "boundary_points"} & set(snapshot.missing):
        components.empty("The decision boundaries of this snapshot cannot be read.", command("publish"))
        return
    rows = snapshot.query(BOUNDARIES_SQL, *series)
    if rows.empty:
        components.empty(
            "The decision boundary of this series is not computed yet.",
            f"{command('boundary')}, then {command('publish')}",
        )
        return
    row = _chosen(rows)
    _worth(row)
    axes = str(row.x_feature), str(row.y_feature)
    st.subheader("Where it decides", anchor=False, help=explained("decision boundary"))
    cells, points = snapshot.query(CELLS_SQL, *series, *axes), snapshot.query(POINTS_SQL, *series, *axes)
    figure = boundary_charts.plane(cells, points, json.loads(row.classes), axes)
    show(figure, "plane_figure", f"Decisions of {formats.name(row.model)} over {axes[0]} and {axes[1]}")
    outside = ~(points.x.between(cells.x.min(), cells.x.max()) & points.y.between(cells.y.min(), cells.y.max()))
    st.caption(
        f"Target {formats.in_markdown(row.target)}, case {row.case_key[:8]}. Points: the latest {len(points):,} "
        f"held-out rows, thick edge: decided wrongly; {int(outside.sum()):,} are outside of the plane."
    )


def main() -> None:
    """Draw the page."""
    draw(components.open_page("Decision boundary", "Where a classifier decides, over two features"))


if __name__ == "__main__":
    main()
