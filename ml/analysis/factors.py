"""The factors of a test case: model, settings, feature groups and parameters, each with a value as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ml.data.targets import NEXT_CANDLE
from ml.models import ENSEMBLE
from ml.records import CaseContent, ResultRow
from ml.search.cases import EVALUATION

MODEL = "model"
GROUP = "group"
ON, OFF = "on", "off"


def is_comparable(row: ResultRow) -> bool:
    """Whether a result, tested or failed, is of a case whose skill is comparable with that of ranked ones."""
    case = description(row)
    return (
        case is not None
        and case.get("target", NEXT_CANDLE) == NEXT_CANDLE
        and case.get("walk_forward") is None
        and case.get("evaluation") == EVALUATION
    )


def description(row: ResultRow) -> CaseContent | None:
    """The case of a result; None where it is broken, since results are written by workers that are not trusted."""
    try:
        case = json.loads(row["case_json"])
    except (TypeError, ValueError):
        return None
    usable = isinstance(case, dict) and isinstance(case.get("model"), str) and isinstance(case.get("params", {}), dict)
    return case if usable else None


def factors_of(case: CaseContent) -> dict[str, str]:
    """Factor -> value of a case, without those that do not apply to it.

    A parameter belongs to its model ("ridge alpha"), and a feature group that is off is not listed here: `completed`
    adds it where another case has it on.
    """
    model = case["model"]
    found = {MODEL: model}
    if model == ENSEMBLE:
        return found | {f"{ENSEMBLE} members": " + ".join(sorted(one["model"] for one in case.get("members", [])))}
    found |= {
        "lags": str(case.get("lags", 1)),
        "seeds": str(len(case.get("seeds", [0]))),
        "train rows": str(case.get("train_rows") or "all"),
        "weights": case.get("weights") or "equal",
        "unit": case.get("unit") or "log",
        "markets learnt": "all" if case.get("pool") else "own",
        "close": case.get("close") or "last",
    }
    found |= {f"{model} {name}": _text(value) for name, value in case.get("params", {}).items()}
    return found | {f"{GROUP} {name}": ON for name in groups_of(case)}


def groups_of(case: CaseContent) -> list[str]:
    """Feature groups of a case, from the display name that its search space gave it."""
    if not case.get("features"):
        return []
    return [name for name in str(case.get("feature_set", "")).partition(",")[0].split("+") if name]


def completed(cases: Mapping[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Case key -> factors, with the groups that are off, and without factors that have one value in all cases."""
    groups = {name for factors in cases.values() for name in factors if name.startswith(f"{GROUP} ")}
    full = {
        key: factors | ({} if _has_no_groups(factors) else {name: factors.get(name, OFF) for name in groups})
        for key, factors in cases.items()
    }
    values: dict[str, set[str]] = {}
    for factors in full.values():
        for name, value in factors.items():
            values.setdefault(name, set()).add(value)
    vary = {name for name, found in values.items() if len(found) > 1}
    return {key: {name: value for name, value in factors.items() if name in vary} for key, factors in full.items()}


def _has_no_groups(factors: Mapping[str, str]) -> bool:
    """Whether a case learns from raw candles, or from the inputs of its members."""
    return not any(name.startswith(f"{GROUP} ") for name in factors)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
