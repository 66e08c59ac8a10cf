"""Whether a forecast may call a direction of the close: only behind a test, since hardly any model can.

The test: the share of right directions on the validation rows against a coin, one-sided, with the level divided by the
number of trials (Bonferroni), for a model that serves and forecasts the close better than the last close.
"""

from __future__ import annotations

import pandas as pd
from scipy.stats import norm

from app import formats
from app.evidence import LEVEL

NO_CALL = "close: no call"

CALLS_SQL = """
select exchange, symbol, timeframe, l.skill_close, l.direction_accuracy, l.direction_se, l.n_trials
from champions c join leaderboard l using (exchange, symbol, timeframe, case_key)
where not c.is_baseline and coalesce(c.state, 'champion') = 'champion'
"""
"""Per series that a model serves, the figures of its case that the test needs."""


def passes(case: pd.Series) -> bool:
    """Whether the direction of a serving case passed the test; unknown figures do not.

    Args:
        case: skill_close, direction_accuracy, direction_se (fractions), n_trials.
    """
    figures = (case.skill_close, case.direction_accuracy, case.direction_se, case.n_trials)
    if any(map(formats.is_missing, figures)) or case.direction_se <= 0:
        return False
    z = (case.direction_accuracy - 0.5) / case.direction_se
    required = norm.isf(LEVEL / max(1, int(case.n_trials)))
    return bool(round(100 * case.skill_close, 1) > 0 and z > required)


def tested_series(cases: pd.DataFrame) -> set[tuple[str, str, str]]:
    """The series whose serving model may call a direction; `cases` are rows of `CALLS_SQL`."""
    return {(case.exchange, case.symbol, case.timeframe) for _, case in cases.iterrows() if passes(case)}


def close_call(percent: float, is_tested: bool) -> tuple[str, str]:
    """The close in words and its tone ("up", "down" or "none").

    >>> close_call(-0.07, False), close_call(0.2, True)
    (('close: no call', 'none'), ('close ▲ +0.20 %', 'up'))
    """
    moved = formats.signed_percent(percent)
    if not is_tested or moved[0] not in "+\N{MINUS SIGN}":
        return NO_CALL, "none"
    arrow, tone = ("▲", "up") if percent > 0 else ("▼", "down")
    return f"close {arrow} {moved}", tone
