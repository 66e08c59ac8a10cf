"""What each machine contributed in a period: counts, time, and how its results did when they were recomputed.

A result belongs to the period in which it was finished. A verification belongs to its result: the coordinator
recomputes the results of challengers (`ml.promotion.gate`), and counts here in the result's period.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.analysis.records import Contribution

#: Columns of the report, of the page and of its CSV, in this order.
COLUMNS = (
    "machine",
    "cases",
    "share",
    "failed",
    "cpu_hours",
    "mean_seconds",
    "time_against_fleet",
    "best_skill",
    "best_case",
    "verified",
    "failed_verifications",
    "first_seen",
    "last_seen",
)
#: Columns of the results and verdicts that are read.
RESULTS = (
    "case_key", "dataset_id", "symbol", "timeframe", "model", "machine", "status", "skill", "is_ranked", "fit_seconds",
    "finished_at",
)  # fmt: skip
VERDICTS = ("case_key", "dataset_id", "decision", "rule", "holdout_opened", "false_claim_worker")
#: A machine without a name: results of earlier versions.
UNNAMED = "(unnamed)"


def contributions(results: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per machine, most tested cases first.

    Args:
        results: those of the period, with the columns `RESULTS`.
        verdicts: all, with the columns `VERDICTS`.

    Returns:
        With `COLUMNS`: `cases` are tested ones; `share` of all tested ones; `cpu_hours` of fitting;
        `time_against_fleet` is the time over that which all machines took on average for the same models of the same
        series (1: as the fleet); the best case is that of the highest skill among ranked ones; times are UTC.
    """
    named = results.assign(machine=results.machine.fillna(UNNAMED))
    expected = named.groupby(["symbol", "timeframe", "model"], observed=True).fit_seconds.transform("mean")
    checked = _checked(named, verdicts)
    rows = [
        _of_machine(str(machine), mine, expected[mine.index], checked[mine.index])
        for machine, mine in named.groupby("machine")
    ]
    frame = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "share"])
    total = frame.cases.sum()
    frame["share"] = frame.cases / total if total else 0.0
    return frame.sort_values(["cases", "machine"], ascending=[False, True], ignore_index=True)[list(COLUMNS)]


def _of_machine(machine: str, mine: pd.DataFrame, expected: pd.Series, checked: pd.Series) -> Contribution:
    tested = mine[mine.status == "tested"]
    # A machine may have only failed cases, and a skill may be missing.
    ranked = tested[tested.is_ranked.fillna(False).astype(bool) & tested.skill.notna()]
    best = ranked.sort_values(["skill", "case_key"], ascending=[False, True]).iloc[0] if len(ranked) else None
    usual = float(expected.sum())
    return {
        "machine": machine,
        "cases": len(tested),
        "failed": int((mine.status == "failed").sum()),
        "cpu_hours": float(mine.fit_seconds.sum()) / 3600,
        "mean_seconds": float(mine.fit_seconds.mean()),
        "time_against_fleet": float(mine.fit_seconds.sum()) / usual if usual > 0 else None,
        "best_skill": None if best is None else float(best.skill),
        "best_case": None if best is None else str(best.case_key),
        "verified": int((checked != "").sum()),
        "failed_verifications": int((checked == "failed").sum()),
        "first_seen": mine.finished_at.min(),
        "last_seen": mine.finished_at.max(),
    }


def _checked(results: pd.DataFrame, verdicts: pd.DataFrame) -> pd.Series:
    """ "right", "failed" or "" of each result: whether it was recomputed, and equal."""
    failed = verdicts.rule == "false_claim"
    recomputed = (
        failed
        | (verdicts.decision == "promoted")
        | (verdicts.rule == "holdout_used_up")
        | verdicts.holdout_opened.fillna(False).astype(bool)
    )
    # A failure that another version of the code may explain does not name the worker, and is no mark against it.
    marks = failed & verdicts.false_claim_worker.notna()
    keys = list(zip(verdicts.case_key, verdicts.dataset_id, strict=True))
    bad = {key for key, mark in zip(keys, marks, strict=True) if mark}
    seen = {key for key, known, fault in zip(keys, recomputed, failed, strict=True) if known and not fault} | bad
    found = np.full(len(results), "", dtype=object)
    # Few of very many results are ever recomputed.
    for place in np.flatnonzero(results.case_key.isin({key for key, _ in seen})).tolist():
        key = results.case_key.iat[place], results.dataset_id.iat[place]
        found[place] = ("failed" if key in bad else "right") if key in seen else ""
    return pd.Series(found, index=results.index, dtype="object")


def per_day(results: pd.DataFrame) -> pd.DataFrame:
    """Tested cases per day (UTC) and machine: day, machine, cases; ascending."""
    tested = results[results.status == "tested"]
    named = tested.assign(machine=tested.machine.fillna(UNNAMED), day=tested.finished_at.dt.floor("D"))
    return named.groupby(["day", "machine"], observed=True).size().rename("cases").reset_index()
