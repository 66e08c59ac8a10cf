"""The result of a leaderboard in one sentence: does any model beat the baseline, or could it be luck?

A model is called a win only if it serves, the 90 % interval of its skill is above 0 and the search passes its test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import pandas as pd

from app import formats
from ml.trading.luck import best_by_luck

_Z_90 = 1.6448536269514722

LEVEL = 0.05
"""Largest p-value of a search that still counts as more than luck."""


def p_value_text(p_value: float | None) -> str:
    """A p-value in the usual notation; a rounded 0.000 would suggest certainty."""
    if p_value is not None and p_value < formats.SMALLEST_P:
        return f"p < {formats.SMALLEST_P:g}"
    return f"p = {formats.decimal(p_value, 3)}"


def serves_model(champion: pd.Series | None) -> bool:
    """Whether a model serves a series now; a retired champion does not."""
    if champion is None or formats.is_missing(champion.is_baseline) or champion.is_baseline:
        return False
    return formats.is_missing(champion.state) or champion.state == "champion"


def is_known(case: pd.Series) -> bool:
    """Whether the snapshot has the interval and the p-value of a case's skill."""
    return not any(map(formats.is_missing, (case.skill_lower, case.skill_upper, case.spa_p_value)))


def is_clear(case: pd.Series) -> bool:
    """Whether a case's skill is more than luck: its interval is above 0 and the search passes its test."""
    return is_known(case) and bool(case.skill_lower > 0 and case.spa_p_value < LEVEL)


def beats(case: pd.Series | None, champion: pd.Series | None) -> bool:
    """Whether a model may be shown as a win: it serves, and its case is clear."""
    return case is not None and serves_model(champion) and is_clear(case)


def is_refuted(case: pd.Series) -> bool:
    """Whether the opened holdout denies a case: its skill there is not above 0."""
    return not formats.is_missing(case.holdout_skill) and bool(case.holdout_skill <= 0)


def standing(case: pd.Series, champion: pd.Series | None) -> str:
    """How a case may be drawn: "refuted" by its holdout, "beats" for a win, "looks better" where it is clear, "luck".

    A case that is clear looks better as long as it does not serve; "unknown" has neither interval nor p-value.

    Args:
        case: a row of the leaderboard.
        champion: the row of the champions table if the case is the champion's or there is no champion, else None.
    """
    if is_refuted(case):
        return "refuted"
    if beats(case, champion):
        return "beats"
    if not is_known(case):
        return "unknown"
    return "looks better" if is_clear(case) else "luck"


def holdout_edges(case: pd.Series) -> tuple[float, float] | None:
    """About the 90 % interval of the holdout skill; None where it is not opened or a figure is unknown.

    The bootstrap interval on the validation rows, with its width by the square root of the number of rows.

    Args:
        case: holdout_skill, skill_lower, skill_upper (fractions), n_validation, holdout_rows.
    """
    needed = (case.holdout_skill, case.skill_lower, case.skill_upper, case.n_validation, case.holdout_rows)
    if any(map(formats.is_missing, needed)) or not case.holdout_rows > 0:
        return None
    half = (case.skill_upper - case.skill_lower) / 2 * math.sqrt(case.n_validation / case.holdout_rows)
    return case.holdout_skill - half, case.holdout_skill + half


def luck_alone(case: pd.Series) -> float | None:
    """Skill that the best of all trials would show by luck alone, at most; None where the interval is unknown.

    The interval of the case gives the deviation of a skill; the expected maximum of as many independent trials is an
    upper bound, since the trials of a search are alike.
    """
    if (
        formats.is_missing(case.skill_lower)
        or formats.is_missing(case.skill_upper)
        or formats.is_missing(case.n_trials)
    ):
        return None
    deviation = (case.skill_upper - case.skill_lower) / (2 * _Z_90)
    return float(deviation * best_by_luck(int(case.n_trials)))


def luck_sentence(case: pd.Series) -> str:
    """The luck meter of a leaderboard in words, as HTML; empty where it is not known."""
    luck = luck_alone(case)
    if luck is None:
        return ""
    found = f"The best found is <b>{formats.skill(case.skill)}</b>"
    return f"Of {int(case.n_trials):,} tries luck alone gives up to <b>{formats.skill(luck)}</b>. {found}."


@dataclass(frozen=True)
class Served:
    """Who serves the series, and how sure that is; the counts of the models add up to those that serve.

    Attributes:
        series: all series.
        proven: by a model that is better by more than luck.
        unconfirmed: by a model whose search does not show that.
        unknown: by a model whose interval or p-value is not computed.
    """

    series: int
    proven: int
    unconfirmed: int
    unknown: int

    @property
    def models(self) -> int:
        """Series that a model serves."""
        return self.proven + self.unconfirmed + self.unknown


def served_of(rows: pd.DataFrame) -> Served:
    """Who serves, from a row per series.

    Args:
        rows: is_baseline and state of the champions table; skill_lower, skill_upper, spa_p_value of the champion's
            case, null where unknown.
    """
    serving = [row for _, row in rows.iterrows() if serves_model(row)]
    proven, known = (sum(map(check, serving)) for check in (is_clear, is_known))
    return Served(len(rows), proven, known - proven, len(serving) - known)


def served_sentence(served: Served, significance: str) -> tuple[str, str]:
    """Who serves in one sentence as HTML, and its tone: "good" for proven models only, never "bad".

    Args:
        served: the counts.
        significance: the command that computes intervals and p-values, as HTML.
    """
    rest = served.series - served.models
    others = f" The baseline serves the other {rest}." if rest else ""
    if not served.models:
        return f"<b>The baseline serves all {served.series} series:</b> no model has passed the promotion gate.", ""
    if served.unknown == served.models:
        head = f"<b>{served.models} of {served.series} series are served by a model.</b>"
        return f"{head} Not yet computed: whether it could be luck. Run {significance}.{others}", ""
    proven = (
        f"<b>{served.proven} of {served.series} series are served by a model proven better than the best baseline.</b>"
    )
    more = "".join(
        f" {number} more {'is' if number == 1 else 'are'} served by a model {words}."
        for number, words in (
            (served.unconfirmed, "that the newest search does not confirm"),
            (served.unknown, f"whose luck is not yet computed (run {significance})"),
        )
        if number
    )
    return f"{proven}{more}{others}", "good" if served.proven else ""


def interval_text(case: pd.Series) -> str:
    """The 90 % interval of a skill as "+1.9 to +4.2", in percent; a dash where it is unknown."""
    if formats.is_missing(case.skill_lower) or formats.is_missing(case.skill_upper):
        return formats.DASH
    low, high = (
        formats.signed_percent(100 * edge, 1).removesuffix(" %") for edge in (case.skill_lower, case.skill_upper)
    )
    return f"{low} to {high}"


def figures(case: pd.Series, trials: int) -> str:
    """Skill, interval, p-value of the search and number of trials, as far as they are known."""
    skill = f"skill {formats.skill(case.skill)}"
    if not is_known(case):
        return f"{skill} over N = {trials:,} trials; this snapshot lacks its interval and p-value"
    return f"{skill} (90 %: {interval_text(case)}), {p_value_text(case.spa_p_value)} over N = {trials:,} trials"


def _why_not(best: pd.Series, trials: int) -> tuple[str, str]:
    """Headline and sentence for a series that its baseline serves, from its best case."""
    skill, searched = formats.skill(best.skill), f"{trials:,} trials"
    no_win = "No model is shown to beat the baseline here."
    if is_refuted(best):
        opened = formats.skill(best.holdout_skill)
        return "Refuted on the holdout.", (
            f"The best of {searched} shows {skill} on the rows it was chosen on, and {opened} on its opened holdout."
        )
    if best.skill <= 0:
        return no_win, f"The best of {searched} has skill {skill}, and the baseline has 0."
    if not is_known(best):
        return "Not yet computed: whether the best could be luck.", (
            f"The best of {searched} shows {skill} on the rows it was chosen on, before the luck of choosing among "
            f"{searched}. <code>candleworks significance</code> computes it."
        )
    if best.skill_lower <= 0:
        return no_win, f"The best of {searched} shows {skill}, but its interval ({interval_text(best)}) includes 0."
    if best.spa_p_value >= LEVEL:
        return no_win, (
            f"The best of {searched} shows {skill}, but a search of that size gives as much by luck alone "
            f"({p_value_text(best.spa_p_value)})."
        )
    return (
        "No model has proven itself here yet.",
        f"{escape(formats.name(best.model))} looks better: {figures(best, trials)}.",
    )


def headline(best: pd.Series, own: pd.Series | None, champion: pd.Series | None) -> tuple[str, str]:
    """The sentence above a leaderboard as HTML, and its tone ("good" for a win only).

    Args:
        best: the case of rank 1.
        own: the case of the champion, None where it is not on this leaderboard.
        champion: the row of the champions table, None where there is none.
    """
    trials = int(best.n_trials)
    has_reason = champion is not None and not formats.is_missing(champion.reason)
    reason = escape(formats.stored(champion.reason)) if champion is not None and has_reason else ""
    if champion is None or not serves_model(champion):
        head, why = _why_not(best, trials)
        verdict = f" Last verdict: {reason}." if reason else ""
        tone = "bad" if is_known(best) or best.skill <= 0 or is_refuted(best) else ""
        serves = "Unknown who serves." if champion is None else f"The baseline serves.{verdict}"
        return f"<b>{head}</b> {why}<br><span>{serves}</span>", tone
    name = escape(formats.name(champion.model))
    since = f"It has served since {formats.moment(champion.promoted_at)[:10]}: {reason}."
    if own is None:
        figure = f"skill {formats.skill(champion.skill)} when it was promoted; the newest search did not include it"
        return f"<b>{name} serves here:</b> {figure}.<br><span>{since}</span>", ""
    if beats(own, champion):
        return f"<b>{name} beats the baseline here:</b> {figures(own, trials)}.<br><span>{since}</span>", "good"
    if not is_known(own):
        return f"<b>{name} serves here:</b> {figures(own, trials)}.<br><span>{since}</span>", ""
    return (
        f"<b>{name} serves, but this search does not show that it beats the baseline:</b> "
        f"{figures(own, trials)}.<br><span>{since}</span>"
    ), "bad"


def _above_zero(skill: float | None) -> bool:
    """Whether a skill is above 0 as it is shown, with one decimal of a percent."""
    return not formats.is_missing(skill) and round(100 * float(skill or 0.0), 1) > 0


def close_sentence(case: pd.Series, cases: pd.DataFrame) -> str:
    """A sentence on the skill of a case for high, low and close separately; empty where it is unknown.

    Args:
        case: the case in question.
        cases: all cases of its leaderboard.
    """
    if formats.is_missing(case.skill_close):
        return ""
    good = [label for label in ("high", "low") if _above_zero(case[f"skill_{label}"])]
    skill = "the skill is" if is_clear(case) else "what skill there may be is"
    rest = f"{skill} in {' and '.join(good)}" if good else "nor is there skill in high or low"
    finalists = cases[cases.is_finalist.fillna(False).astype(bool)]
    if not any(map(_above_zero, cases.skill_close)):
        return f"No model forecasts the close better than the last close here; {rest}."
    if len(finalists) and not any(map(_above_zero, finalists.skill_close)):
        return f"None of the finalists forecasts the close better than the last close here; {rest}."
    if not _above_zero(case.skill_close):
        return f"{formats.name(case.model)} does not forecast the close better than the last close; {rest}."
    return (
        f"For the close alone {formats.name(case.model)} shows {formats.skill(case.skill_close)}; "
        "that figure is not tested, and a skill that small is mostly luck."
    )
