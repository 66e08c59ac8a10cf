"""Finalists: the few best test cases of a series, ranked by mean over seeds, so that no lucky seed leads.

A case with several seeds is already a mean over them. Cases that differ only in their seeds are seed-mates: they are
ranked by the mean over all of them, and represented by the case with the lowest key, a choice that is independent of
their results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np

from ml.canonical import canonical_json, digest
from ml.data.targets import NEXT_CANDLE
from ml.records import CaseContent, ResultRow
from ml.search.cases import EVALUATION

MOST_FINALISTS = 5
#: Fields of a case's description that do not tell contenders apart: the seeds, and a display name.
_NO_CONTENT = ("seeds", "feature_set")


@dataclass(frozen=True)
class Contender:
    """Seed-mates that are ranked as one.

    Attributes:
        case_key: of the case that represents them, the lowest of their keys.
        skill: mean skill on validation over the mates.
        mates: keys of all of them, ascending; most contenders are a single case.
    """

    case_key: str
    skill: float
    mates: tuple[str, ...]


def is_ranked_result(status: str | None, case_json: str | None) -> bool:
    """Whether a result is ranked: it was tested, predicts the next candle, as all are evaluated at present.

    Errors of other targets, of other refits and of earlier versions of the evaluation are not comparable. A case
    may be one that is no longer valid; without a valid description it is not ranked.
    """
    case = _description(case_json)
    return bool(
        status == "tested"
        and case is not None
        and case.get("target", NEXT_CANDLE) == NEXT_CANDLE
        and case.get("walk_forward") is None
        and case.get("evaluation") == EVALUATION
    )


def contender_key(case_json: str | None) -> str | None:
    """16 hexadecimal digits: equal for seed-mates, and only for them; None without a valid description."""
    case = _description(case_json)
    if case is None:
        return None
    return digest({name: value for name, value in case.items() if name not in _NO_CONTENT})[:16]


def _description(case_json: str | None) -> CaseContent | None:
    """The description of a case; None if it is none. Workers are not trusted, they may have written any text."""
    try:
        case = json.loads(case_json or "")
        canonical_json(case).encode()  # fails for values that JSON has not, such as NaN
    except (TypeError, ValueError, RecursionError):
        return None
    return cast(CaseContent, case) if isinstance(case, dict) else None


def contenders(results: Iterable[ResultRow]) -> list[Contender]:
    """All ranked cases, seed-mates as one, best mean skill first; ties are broken by error, then by key.

    Args:
        results: one per case, with `case_key`, `case_json`, `status`, `skill` and `rmse_pct`. Cases that are not
            ranked, or have no finite skill, are left out.
    """
    mates: dict[str | None, list[ResultRow]] = {}
    for row in results:
        ranked_row = is_ranked_result(row["status"], row["case_json"])
        if ranked_row and row["skill"] is not None and math.isfinite(row["skill"]):
            mates.setdefault(contender_key(row["case_json"]), []).append(row)
    ranked = []
    for rows in mates.values():
        rows.sort(key=lambda row: str(row["case_key"]))  # floating-point sums depend on the order
        keys = tuple(row["case_key"] for row in rows)
        error = float(np.mean([row["rmse_pct"] for row in rows]))
        ranked.append((error, Contender(keys[0], float(np.mean([row["skill"] for row in rows])), keys)))
    ranked.sort(key=lambda entry: (-entry[1].skill, entry[0], entry[1].case_key))
    return [contender for _, contender in ranked]


def best_result(results: Iterable[ResultRow]) -> ResultRow | None:
    """The result of the first contender; None if none is ranked. The arguments are those of `contenders`."""
    rows = {row["case_key"]: row for row in results}
    first = contenders(rows.values())[:1]
    return rows[first[0].case_key] if first else None


def learns_close(row: ResultRow) -> bool:
    """Whether a result is of a case that learns the close, so that its forecasts have a direction."""
    case = _description(row["case_json"])
    return case is not None and case.get("close") == "learnt"


def target_of(row: ResultRow) -> str | None:
    """The target of a result; None without a valid description."""
    case = _description(row["case_json"])
    return None if case is None else case.get("target", NEXT_CANDLE)


def finalists(results: Iterable[ResultRow], most: int = MOST_FINALISTS) -> list[Contender]:
    """The at most `most` best contenders (see `contenders`)."""
    return contenders(results)[:most]
