"""Verdicts as sentences: the decision, the model and the figures behind it."""

from __future__ import annotations

from html import escape

import pandas as pd

from app import formats
from app.evidence import p_value_text

VERDICTS_SQL = """
select v.*, v.symbol || ' · ' || v.timeframe as series, i.model as incumbent
from verdicts v
left join (select case_key, any_value(model) as model from verdicts group by case_key) i
    on i.case_key = v.incumbent_case_key
"""
"""Verdicts with the model that served at the time; a condition and an order may follow."""

DECISIONS = ("promoted", "refused", "confirmed", "retired")

RULES = {
    "minimal_skill": "not better than the baseline",
    "minimal_gain": "gain over the champion too small",
    "minimal_days": "too few days to decide",
    "minimal_rows": "too few rows to decide",
    "search_luck": "the best of the trials could be luck",
    "minimal_tenure": "the champion is too new to be replaced",
    "paired_test": "could be luck",
    "false_claim": "failed verification",
    "holdout_used_up": "no sealed rows left",
    "holdout_worse": "worse on the sealed rows",
    "lost_edge": "lost its edge",
}
"""Deciding rule -> its text; others are shown by their name."""

_TONES = {"promoted": "good", "confirmed": "good", "refused": "", "retired": "bad"}


def rule_text(rule: str | None) -> str:
    """The text of the deciding rule; empty where it is not known."""
    return "" if rule is None or formats.is_missing(rule) else RULES.get(rule, rule.replace("_", " "))


def _known(value: object) -> bool:
    return not formats.is_missing(value)


def _headline(verdict: pd.Series, of: str) -> str:
    """Model, decision and series; `of` names the series, empty if the page names it already."""
    model = f"<b>{escape(formats.name(verdict.model))}"
    if verdict.decision == "promoted":
        before = f", in place of {escape(formats.name(verdict.incumbent))}" if _known(verdict.incumbent) else ""
        return f"{model} became champion</b>{of}{before}"
    if verdict.decision == "refused":
        rule = rule_text(verdict.rule)
        return f"{model} was refused</b>{of}" + (f": {escape(rule)}" if rule else "")
    if verdict.decision == "retired":
        return f"{model} was retired</b>{of}; the baseline serves"
    if verdict.decision == "confirmed":
        return f"{model} stays champion</b>{of}"
    return f"{model}</b>{of}: {escape(str(verdict.decision))}"


def figures(verdict: pd.Series) -> list[str]:
    """The known figures behind a verdict, each as a phrase."""
    reviewed = verdict.decision in ("retired", "confirmed")
    phrases = []
    if reviewed and _known(verdict.review_skill):
        phrases.append(
            f"review over {formats.count(verdict.review_rows)} rows: skill {formats.skill(verdict.review_skill)}"
        )
    if not reviewed and _known(verdict.skill):
        trials = f" among N = {formats.count(verdict.n_trials)} trials" if _known(verdict.n_trials) else ""
        reported = "reported " if verdict.rule == "false_claim" else ""
        phrases.append(f"{reported}skill {formats.skill(verdict.skill)}{trials}")
    if _known(verdict.gain):
        required = f" (required: {formats.skill(verdict.minimal_gain)})" if _known(verdict.minimal_gain) else ""
        phrases.append(f"gain over the champion {formats.skill(verdict.gain)}{required}")
    if _known(verdict.p_value):
        days = f" over {formats.count(verdict.n_days)} days" if _known(verdict.n_days) else ""
        required = f" (required: at most {verdict.alpha:g})" if _known(verdict.alpha) else ""
        phrases.append(f"{p_value_text(verdict.p_value)}{days}{required}")
    if _known(verdict.spa_p_value):
        phrases.append(f"whole search {p_value_text(verdict.spa_p_value)}")
    phrases.append(_holdout(verdict))
    return [phrase for phrase in phrases if phrase]


def _holdout(verdict: pd.Series) -> str:
    if not formats.is_true(verdict.holdout_opened):
        return "sealed rows not opened" if verdict.decision in ("promoted", "refused") else ""
    rows = f"{formats.count(verdict.holdout_rows)} sealed rows" if _known(verdict.holdout_rows) else "sealed rows"
    span = ""
    if _known(verdict.holdout_start) and _known(verdict.holdout_end):
        span = f" of {formats.moment(verdict.holdout_start)[:10]} to {formats.moment(verdict.holdout_end)[:10]}"
    return (
        f"{rows}{span} opened (opening {formats.count(verdict.holdout_openings)}): "
        f"skill {formats.skill(verdict.holdout_skill)}"
    )


def verdict_note(verdict: pd.Series, series: str = "") -> tuple[str, str]:
    """A verdict as HTML and the tone of its note.

    Args:
        verdict: a row of `VERDICTS_SQL`.
        series: name of the series; empty if the page names it already.
    """
    reason = f"{escape(formats.stored(verdict.reason))}<br>" if _known(verdict.reason) else ""
    of = {"promoted": "of", "confirmed": "of"}.get(str(verdict.decision), "for")
    place = f" {of} {escape(series)}" if series else ""
    details = " &nbsp;·&nbsp; ".join([f"{formats.moment(verdict.decided_at)} UTC", *map(escape, figures(verdict))])
    return f"{_headline(verdict, place)}<br>{reason}<span>{details}</span>", _TONES.get(str(verdict.decision), "")
