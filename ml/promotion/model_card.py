"""Model cards: the information needed to assess a saved model, stored with it and printed as text.

Source: Mitchell et al., Model Cards for Model Reporting (2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ml.canonical import digest
from ml.evaluation.preparation import PreparedCase
from ml.promotion.rules import PromotionContext, Verdict
from ml.promotion.settings import PromotionSettings
from ml.records import ModelCard, ResultRow, SeriesKey
from ml.timeframes import utc_text

FROZEN: ModelCard = {"kind": "frozen: as it was evaluated"}
SERVED: ModelCard = {"kind": "served: refitted on all closed rows"}
INTENDED_USE = (
    "Forecasts high, low and close of the next candle of its own series from closed candles, with a joint prediction "
    "interval for low and high. It serves until a better case is promoted or a review retires it."
)
LIMITS = (
    "Evaluated on one series of one exchange; its performance on others is unknown.",
    "It was the best of all cases tried, so its validation error is biased downwards by selection. The holdout was "
    "opened once; only the live record keeps measuring it.",
    "Skill in the range (high and low) says nothing about the direction of the close: see the skill of the close.",
    "Not trading advice: the error does not include fees, spread and order size.",
)
_SELECTION = (
    "rmse_pct",
    "skill",
    "skill_mean_range",
    "skill_high",
    "skill_low",
    "skill_close",
    "skill_seed_std",
    "baseline",
    "baseline_rmse_pct",
    "code_version",
    "n_train",
    "n_validation",
)


def new_card(
    prepared: PreparedCase,
    challenger: ResultRow,
    verdict: Verdict,
    context: PromotionContext,
    settings: PromotionSettings,
) -> ModelCard:
    """The card of a promoted case, without the kind of model and its train span."""
    start_ms, end_ms = verdict.holdout_span_ms or (None, None)
    return {
        "series": prepared.dataset.series.key,
        "dataset_id": prepared.dataset.id,
        "seeds": list(prepared.case.seeds),
        "selection": cast(ResultRow, {name: challenger.get(name) for name in _SELECTION}),
        "test": {
            "p_value": verdict.p_value,
            "n_days": verdict.n_days,
            "alpha": settings.alpha,
            "spa_p_value": context.spa_p_value,
        },
        "n_trials": context.n_trials,
        "holdout": dict(verdict.holdout or {}),
        "holdout_start_ms": start_ms,
        "holdout_end_ms": end_ms,
        "holdout_rows": verdict.holdout_rows,
        "promoted_at_ms": context.now_ms,
        "intended_use": INTENDED_USE,
        "limits": list(LIMITS),
    }


class CardSummary(SeriesKey, total=False):
    """A saved model in one row, for a table; None where an older card lacks the field."""

    model_id: str
    model: str
    case_key: str
    kind: str
    trained_through: str | None
    n_trials: int | None
    skill: float | None
    holdout_skill: float | None


def card_summary(card: ModelCard) -> CardSummary:
    """One flat record per model."""
    selection = card["selection"]
    return {
        "model_id": card["model_id"],
        **card["case"]["series"],
        "model": card["case"]["model"],
        "case_key": card["case_key"],
        "kind": card["kind"].partition(":")[0],
        "trained_through": _time(card.get("trained_through_ms")),
        "n_trials": card.get("n_trials"),
        "skill": selection.get("skill"),
        "holdout_skill": card["holdout"].get("skill"),
    }


def card_entries(card: ModelCard) -> dict[str, str]:
    """The card's entries with their texts, in reading order."""
    case, selection, holdout = card["case"], card["selection"], card["holdout"]
    series = case["series"]
    test = card.get("test", {})
    entries = {
        "model": f"{case['model']} ({card['kind']})",
        "series": f"{series['symbol']} {series['timeframe']} on {series['exchange']}",
        "intended use": card.get("intended_use"),
        "limits": "\n".join(f"- {line}" for line in card.get("limits", [])) or None,
        "trials": _with(card.get("n_trials"), "{} cases were tried on the series"),
        "selection": f"error {_number(selection.get('rmse_pct'))} %, {selection.get('baseline')} "
        f"{_number(selection.get('baseline_rmse_pct'))} %, skill {_percent(selection.get('skill'))} "
        f"on {selection.get('n_validation', '?')} validation rows",
        "skill by label": f"high {_percent(selection.get('skill_high'))}, low {_percent(selection.get('skill_low'))}, "
        f"close {_percent(selection.get('skill_close'))}",
        "paired test": f"p = {_number(test.get('p_value'))} over {test.get('n_days', '?')} days, at most "
        f"{test.get('alpha', '?')}; SPA p of the whole search {_number(test.get('spa_p_value'))}",
        "holdout": f"skill {_percent(holdout.get('skill'))} on {card.get('holdout_rows') or '?'} rows "
        f"({_time(card.get('holdout_start_ms'))} to {_time(card.get('holdout_end_ms'))}), opened once",
        "interval": _with(holdout.get("band_coverage"), "{:.1%} of the holdout candles within the 80 % interval"),
        "learnt from": f"{_time(card.get('trained_from_ms'))} to {_time(card.get('trained_through_ms'))}",
        "features": ", ".join(case["features"]) or "raw candles",
        "lineage": _lineage(card.get("lineage", {})),
        "hashes": _hashes(card),
        "window": f"{case['lags']} candles",
        "parameters": ", ".join(f"{name} {value}" for name, value in sorted(case["params"].items())) or "default",
        "seeds": ", ".join(str(seed) for seed in case["seeds"]),
        "code": selection.get("code_version"),
        "dataset": card["dataset_id"],
        "test case": card["case_key"],
        "model id": card["model_id"],
    }
    return {name: text or "-" for name, text in entries.items()}


def _hashes(card: ModelCard) -> str:
    if "files" not in card:
        return "none: saved by an earlier version; its next review saves them"
    return f"of {len(card['files'])} files, compared when the model is loaded"


def _lineage(lineage: Mapping[str, str]) -> str:
    if not lineage:
        return "not recorded: made by an earlier version"
    return f"{digest(lineage)[:12]}: formulas of {len(lineage)} columns; the model serves while they are unchanged"


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else utc_text(time_ms)[:16].replace("T", " ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2%}"


def _with(value: float | None, text: str) -> str | None:
    return None if value is None else text.format(value)
