"""Effects: what moved the skill of a series, ranked, and the skill by value of each factor."""

from __future__ import annotations

import json
from typing import cast

import pandas as pd
import streamlit as st

from app import components, effect_charts, formats
from app.commands import command
from app.figures import show
from app.snapshot import Snapshot
from app.terms import TERMS, explained
from ml.analysis.effects import ALL, BEST_HALF, FEW, FEWEST_CASES, Case, effect_values, in_scope, matching, rank_effects
from ml.analysis.records import Effect

CASES_SQL = f"select skill, status, factors from effect_cases where {components.OF_SERIES} order by case_key"
EFFECTS_SQL = f"select * from effects where {components.OF_SERIES} and scope = ? order by rank"


@st.cache_data(max_entries=16, show_spinner=False)
def _cases(version: str, series: components.Series, _snapshot: Snapshot) -> list[Case]:
    rows = _snapshot.query(CASES_SQL, *series)
    return [
        Case(json.loads(str(row.factors)), None if formats.is_missing(row.skill) else float(cast(float, row.skill)))
        for row in rows.itertuples()
    ]


@st.cache_data(max_entries=64, show_spinner="Ranking the factors of these cases ...")
def _ranked(
    version: str, series: components.Series, scope: str, kept: tuple[str, ...], _cases: list[Case]
) -> list[Effect]:
    """The ranking of a part of the cases; that of all of them is published."""
    return rank_effects(_cases)


def _filtered(cases: list[Case]) -> tuple[list[Case], tuple[str, ...], str]:
    """The cases that the reader wants, the chosen values, and the scope."""
    values = sorted({f"{name} = {value}" for case in cases for name, value in case.factors.items()})
    kept = tuple(
        st.multiselect(
            "Only cases with", values, key="effects_where", bind="query-params", placeholder="All cases",
            help="Values of one factor are alternatives; different factors must all hold.",
        )
    )  # fmt: skip
    best = st.toggle(
        "Best half only", key="effects_best_half", bind="query-params",
        help="The tested cases with at least the median skill.",
    )  # fmt: skip
    wanted: dict[str, set[str]] = {}
    for text in kept:
        name, _, value = text.partition(" = ")
        wanted.setdefault(name, set()).add(value)
    scope = BEST_HALF if best else ALL
    return in_scope(matching(cases, wanted), scope), kept, scope


def _numbers(cases: list[Case], kept: list[Case]) -> None:
    tested, failed = _counts(kept)
    all_tested, all_failed = _counts(cases)
    components.numbers(
        "effects",
        [
            (
                "Tested cases",
                f"{tested:,} of {all_tested:,}",
                "Cases with a skill, of the newest dataset of this series.",
            ),
            ("Failed", f"{failed:,} of {all_failed:,}", "They have no skill; the table counts them per value."),
        ],
    )


def _counts(cases: list[Case]) -> tuple[int, int]:
    tested = sum(case.skill is not None for case in cases)
    return tested, len(cases) - tested


def _ranking(effects: pd.DataFrame) -> str:
    """Draw the ranked factors and return the chosen one: by a click on a bar, or by name."""
    st.subheader("What moved the skill", anchor=False, help=explained("effect"))
    names = list(effects.factor)
    components.warn_of_unknown("effects_factor", names)
    figure = effect_charts.ranked_effects(effects, components.chosen_of("effects_factor", names))
    st.plotly_chart(
        figure, key="effects", alt="Share of the skill's spread per factor, ranked", width="stretch",
        config={"displayModeBar": False}, selection_mode="points", on_select=_take_clicked,
    )  # fmt: skip
    st.caption("Hatched: the interval reaches 0, so the factor may have no effect. A click on a bar shows its values.")
    return str(st.selectbox("Factor", names, key="effects_factor", bind="query-params"))


def _take_clicked() -> None:
    """Choose the factor whose bar was clicked."""
    points = st.session_state.effects["selection"]["points"]
    if points:
        st.session_state.effects_factor = points[0]["customdata"][0]


def _by_value(cases: list[Case], factor: str) -> None:
    st.subheader(f"Skill by {formats.in_markdown(factor)}", anchor=False, help=TERMS["skill"])
    of_factor = [case for case in cases if factor in case.factors]
    values = pd.DataFrame([value for value in effect_values(of_factor) if value["factor"] == factor])
    shown = values.assign(
        **{name: 100 * values[name].astype(float) for name in ("mean_skill", "lower", "upper", "best_skill")}
    )
    dots = pd.DataFrame(
        [(case.factors[factor], 100 * case.skill) for case in of_factor if case.skill is not None],
        columns=["value", "skill"],
    )
    show(effect_charts.skill_by_value(dots, shown), "effect_values", f"Skill of each case by {factor}")
    number = st.column_config.NumberColumn
    components.table(
        shown.assign(note=shown.is_few.map({True: f"n < {FEW}: may be luck", False: ""})),
        {
            "value": st.column_config.TextColumn("Value", pinned=True),
            "mean_skill": number("Mean skill", format="%+.2f %%"),
            "lower": number("90 % from", format="%+.2f %%"),
            "upper": number("to", format="%+.2f %%"),
            "best_skill": number("Best", format="%+.2f %%"),
            "n": number("n"),
            "n_failed": number("Failed"),
            "note": st.column_config.TextColumn("Note"),
        },
        key="effect_values_table",
    )


def draw(snapshot: Snapshot) -> None:
    """Draw the page below its head."""
    if components.nothing_published(snapshot):
        return
    series = components.choose_series(snapshot)
    if series is None:
        return
    if {"effects", "effect_cases"} & set(snapshot.missing):
        components.empty("The effects of this snapshot cannot be read.", command("publish"))
        return
    cases = _cases(snapshot.version, series, snapshot)
    if not cases:
        components.empty(
            "Effects of this series are not computed yet, or it has no test case.",
            f"{command('effects')}, then {command('publish')}",
        )
        return
    kept, chosen, scope = _filtered(cases)
    _numbers(cases, kept)
    published = snapshot.query(EFFECTS_SQL, *series, scope) if not chosen else None
    effects = pd.DataFrame(_ranked(snapshot.version, series, scope, chosen, kept)) if published is None else published
    if effects.empty:
        tested = _counts(kept)[0]
        st.info(
            f"{tested:,} tested cases: too few that differ to rank factors, {FEWEST_CASES} are needed. Take filters "
            f"away, or test more cases with {command('sweep')}.",
            icon=":material/filter_alt:",
        )
        return
    _by_value(kept, _ranking(effects))


def main() -> None:
    """Draw the page."""
    draw(components.open_page("Effects", "What moved the skill of the test cases"))


if __name__ == "__main__":
    main()
