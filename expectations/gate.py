"""The quality gate between exchange and warehouse: every batch of candles is checked here before it is stored.

The rules are in expectations/rules.py, the defects behind them in expectations/defects.py and references.py. This
module turns broken rules into a decision: which rows are good, which go to quarantine and why, and whether the market
stops.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from expectations.measures import Measures, measure
from expectations.report import Check, GateLimits, GateReport, MarketContext
from expectations.rules import RULES, Rule
from expectations.suite import broken_rows

BATCH_STOPPED = "batch_stopped"
"""Rule name, in quarantine, of rows without a defect of their own in a batch that is rejected as a whole."""

DEFAULT_LIMITS = GateLimits()


def check_batch(
    batch: pd.DataFrame,
    market: MarketContext,
    now_ms: int,
    previous: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
    limits: GateLimits = DEFAULT_LIMITS,
) -> GateReport:
    """Check a batch of candles.

    Args:
        batch: Columns open_time (datetime, UTC), open, high, low, close, volume, optionally quote_volume and trades;
            other columns are passed through.
        market: The series of the candles.
        now_ms: Time of the exchange, ms since 1970 UTC; a candle that closes later is unfinished.
        previous: Stored candles, same columns. The newest one is enough to detect jumps; some 200 allow the timestamps
            of a short update to be checked against the reference.
        reference: A trusted series of the same asset, any timeframe, from another exchange or source, or None. Without
            it timestamp lags and the unit of the volume are not checked.
        limits: When to stop and to warn.

    Returns:
        The report. Unless the batch is stopped, exactly the rows that break a quarantining rule are in quarantine.

    Raises:
        CandleDataError: a frame lacks a column or has no times.
        BrokenExpectationError: an expectation raised (a defect of the program).
    """
    measures = measure(batch, market, now_ms, previous, reference, limits)
    broken = broken_rows(measures.frame) if len(batch) else {}
    checks = [_check(rule, broken.get(rule.name), measures) for rule in RULES]
    reason = _stop_reason(broken, len(batch), limits)
    rules, details = _faults(broken, measures.frame)
    if reason:
        untouched = rules == ""
        rules[untouched], details[untouched] = BATCH_STOPPED, reason
    bad = (rules != "").to_numpy()
    rows = batch.reset_index(drop=True)
    good = rows[~bad].sort_values("open_time", kind="stable", ignore_index=True)
    quarantined = rows[bad].assign(rule=rules[bad], detail=details[bad]).reset_index(drop=True)
    return GateReport(market, checks, good, quarantined, bool(reason), reason, measures.frame)


def _check(rule: Rule, rows: np.ndarray | None, measures: Measures) -> Check:
    frame = measures.frame
    checked = measures.rows_checked(rule.name)
    if rows is None or not len(rows):
        nothing = "no row has the values it needs" if len(frame) else "empty batch"
        why = "" if checked else f"not checked: {measures.unchecked.get(rule.name, nothing)}"
        return Check(rule.name, rule.severity, True, checked, 0, why)
    first = frame.iloc[[int(rows[0])]]
    text = f"{len(rows):,} of {len(frame):,} rows, first {_moment(first['open_ms'].iloc[0])}: {_texts(rule, first)[0]}"
    return Check(rule.name, rule.severity, False, max(checked, len(rows)), len(rows), text)


def _moment(open_ms: float) -> str:
    if np.isnan(open_ms):
        return "without time"
    return str(np.datetime64(int(open_ms), "ms").astype("datetime64[m]")).replace("T", " ")


def _texts(rule: Rule, rows: pd.DataFrame) -> list[str]:
    """The rule's detail for each of the given rows of the measure frame."""
    columns = [str(column) for column in rows if "{" + str(column) + "}" in rule.detail]
    shown = {column: [_shown(value) for value in rows[column].tolist()] for column in columns}
    return [
        rule.detail.format_map({column: shown[column][place] for column in columns}).strip()
        for place in range(len(rows))
    ]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:.12g}"
    return str(value).strip()


def _faults(broken: dict[str, np.ndarray], frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Joined names and details of the quarantining rules that each row breaks; empty texts for good rows."""
    names = pd.Series("", index=frame.index, dtype=object)
    details = pd.Series("", index=frame.index, dtype=object)
    for rule in RULES:
        rows = broken.get(rule.name)
        if rows is None or not rule.quarantines:
            continue
        texts = pd.Series(_texts(rule, frame.iloc[rows]), index=rows, dtype=object)
        glue = np.where(names[rows] == "", "", ",")
        names[rows] = names[rows] + glue + rule.name
        details[rows] = details[rows] + np.where(glue == "", "", "; ") + texts
    return names, details


def _stop_reason(broken: dict[str, np.ndarray], rows: int, limits: GateLimits) -> str:
    """Why the batch is rejected as a whole; empty if it is not."""
    stopping = {rule.name: broken[rule.name] for rule in RULES if rule.stops and rule.name in broken}
    if not stopping:
        return ""
    bad = len(np.unique(np.concatenate(list(stopping.values()))))
    few_good = bad > limits.stop_share * rows and bad >= limits.stop_rows
    if bad < rows and not few_good:
        return ""
    worst = sorted(stopping, key=lambda name: -len(stopping[name]))
    counts = ", ".join(f"{name} in {len(stopping[name]):,}" for name in worst)
    return f"{bad:,} of {rows:,} candles are bad (more than {limits.stop_share:.0%} stop a market): {counts}"
