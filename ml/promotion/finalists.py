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

import numpy as np

from ml.canonical import canonical_json
from ml.data.targets import NEXT_CANDLE
from ml.records import ResultRow

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


def is_ranked_result(result: ResultRow) -> bool:
    """Whether a result was tested and is ranked: errors of other targets or of walk-forwards are not comparable.

    Args:
        result: with `status` and `case_json` (see `ml.execution.results.SCHEMA`); without a valid description it is not
            ranked.
    """
    try:
        case = json.loads(result["case_json"])
    except (TypeError, ValueError):
        return False
    if not isinstance(case, dict):
        return False
    ranked = case.get("target", NEXT_CANDLE) == NEXT_CANDLE and case.get("walk_forward") is None
    return bool(result["status"] == "tested" and ranked)


def content_without_seeds(case_json: str) -> str:
    """The description of a case without its seeds: the same for all seed-mates, and only for them."""
    return canonical_json({name: value for name, value in json.loads(case_json).items() if name not in _NO_CONTENT})


def contenders(results: Iterable[ResultRow]) -> list[Contender]:
    """All ranked cases, seed-mates as one, best mean skill first; ties are broken by error, then by key.

    Args:
        results: one per case, with `case_key`, `case_json`, `status`, `skill` and `rmse_pct`. Cases that are not
            ranked, or have no finite skill, are left out.
    """
    mates: dict[str, list[ResultRow]] = {}
    for row in results:
        if is_ranked_result(row) and row["skill"] is not None and math.isfinite(row["skill"]):
            mates.setdefault(content_without_seeds(row["case_json"]), []).append(row)
    ranked = []
    for rows in mates.values():
        rows.sort(key=lambda row: str(row["case_key"]))  # floating-point sums depend on the order
        keys = tuple(row["case_key"] for row in rows)
        error = float(np.mean([row["rmse_pct"] for row in rows]))
        ranked.append((error, Contender(keys[0], float(np.mean([row["skill"] for row in rows])), keys)))
    ranked.sort(key=lambda entry: (-entry[1].skill, entry[0], entry[1].case_key))
    return [contender for _, contender in ranked]


def finalists(results: Iterable[ResultRow], most: int = MOST_FINALISTS) -> list[Contender]:
    """The at most `most` best contenders (see `contenders`)."""
    return contenders(results)[:most]
