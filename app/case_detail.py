"""Everything about one test case: its figures, its parameters and the verdicts about it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import components, formats
from app.evidence import interval_text
from app.snapshot import Snapshot
from app.terms import TERMS, explained
from app.verdict_texts import VERDICTS_SQL, verdict_note
from ml.execution.workers import machine_of


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names.

    >>> flatten({"model": {"name": "ridge"}, "seeds": [0, 1]})
    {'model.name': 'ridge', 'seeds': '0, 1'}
    """
    if not isinstance(value, dict):
        if isinstance(value, list) and not any(isinstance(one, (list, dict)) for one in value):
            return {prefix: ", ".join(map(str, value))}
        return {prefix: value if isinstance(value, str) else json.dumps(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def parameters(case_json: Any) -> dict[str, str]:
    """Dotted name -> value of a case's parameters; empty where they cannot be read."""
    try:
        return flatten(json.loads(case_json))
    except (TypeError, ValueError):
        return {}


def _metrics(case: pd.Series) -> list[tuple[str, str, str | None]]:
    direction = f"{formats.decimal(100 * case.direction_accuracy, 1)} ± {formats.decimal(100 * case.direction_se, 1)} %"
    return [
        ("Skill", formats.skill(case.skill), explained("skill")),
        ("90 % interval", interval_text(case), explained("confidence interval")),
        ("Skill by seed ±", formats.skill(case.skill_seed_std), "Standard deviation of the skill over the seeds."),
        ("Error", formats.percent(case.rmse_pct), TERMS["error"]),
        ("Error in price", formats.price(case.rmse_quote), "The error in units of the quote currency."),
        ("Mean absolute", formats.percent(case.mae_pct), "Mean absolute error, in percent of the last close."),
        ("vs last candle", formats.skill(case.skill_last_candle), "Skill against the last candle repeated."),
        ("Coverage", formats.share(case.band_coverage, 1), explained("prediction interval")),
        ("Winkler", formats.percent(case.winkler_pct), explained("winkler")),
        ("Pinball", formats.percent(case.pinball_pct), explained("pinball")),
        ("Direction", direction, TERMS["hit rate"] + " With its standard error."),
        ("Direction, traded", formats.signed_percent(case.direction_net_pct, 3), TERMS["traded direction"]),
    ]


def draw_case(snapshot: Snapshot, case: pd.Series) -> None:
    """Draw one test case; `case` is a row of the leaderboard."""
    st.subheader(f"Test case of rank {int(case['rank'])}", anchor=False, help="Choose another row of the table above.")
    parts = (
        f"<b>{escape(formats.name(case.model))}</b>",
        f"{formats.count(case.n_features)} features of set <b>{escape(str(case.feature_set))}</b>",
        f"{formats.count(case.lags)} lags",
        f"fitted in {formats.duration(case.fit_seconds)} on {escape(machine_of(str(case.worker)))}",
        f"{formats.moment(case.finished_at)} UTC",
        f"{formats.count(case.n_validation)} validation rows",
    )
    st.html(f'<div class="cw-line">{" &nbsp;·&nbsp; ".join(parts)}</div>')
    components.numbers("case", _metrics(case))
    left, right = st.columns(2)
    with left:
        st.markdown("**Parameters**")
        flat = parameters(case.case_json)
        if not flat:
            st.caption("The case carries no readable parameters.")
        else:
            text = st.column_config.TextColumn
            rows = pd.DataFrame({"parameter": list(flat), "value": list(flat.values())}, dtype="str")
            components.table(rows, {"parameter": text("Parameter"), "value": text("Value")}, key="parameters")
        st.caption("Key of the case, for `candleworks reproduce`")
        st.code(str(case.case_key), language=None)
    with right:
        st.markdown("**Verdicts**")
        _verdicts(snapshot, str(case.case_key))


def _verdicts(snapshot: Snapshot, case_key: str) -> None:
    verdicts = snapshot.query(f"{VERDICTS_SQL} where v.case_key = ? order by v.sequence desc", case_key)
    if verdicts.empty:
        st.caption("This case was never evaluated: only the best challenger of a series is.")
    for _, verdict in verdicts.iterrows():
        components.note(*verdict_note(verdict))
