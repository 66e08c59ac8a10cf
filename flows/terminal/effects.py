"""Effects as records of the command line: stored ones, or of a part of the cases."""

from __future__ import annotations

from collections.abc import Mapping

from flows.terminal.output import PrintedRow
from ml.analysis.effects import (
    ALL,
    BEST_HALF,
    FEW,
    FEWEST_CASES,
    Case,
    cases_of,
    effect_values,
    in_scope,
    matching,
    rank_effects,
)
from ml.analysis.records import Effect, EffectValue
from ml.analysis.tables import read_rows
from ml.errors import ConfigurationError
from ml.series import Series
from ml.store import Store


def effect_records(
    store: Store, datasets: Mapping[Series, str], factor: str | None, where: Mapping[str, str], best_half: bool
) -> tuple[list[PrintedRow], list[str]]:
    """The ranked factors of each series, or the values of one factor.

    Args:
        store: with the computed effects.
        datasets: series -> dataset.
        factor: whose values are asked for; None for the ranked factors.
        where: factor -> value of the cases to look at.
        best_half: only the better half of the tested cases.

    Returns:
        The records, and one line per series that has too few cases to be ranked.

    Raises:
        ConfigurationError: no series has such a factor or value.
    """
    cases = {series: cases_of(read_rows(store, one, "effect_cases") or []) for series, one in datasets.items()}
    _require_known(cases, factor, where)
    records: list[PrintedRow] = []
    thin = []
    scope = BEST_HALF if best_half else ALL
    for series, dataset_id in datasets.items():
        kept = in_scope(matching(cases[series], {name: {value} for name, value in where.items()}), scope)
        tested = sum(case.skill is not None for case in kept)
        if factor is not None:
            values = effect_values([case for case in kept if factor in case.factors])
            records += [_value(series, value) for value in values if value["factor"] == factor]
            continue
        ranked = _stored(store, dataset_id, scope) if not where else rank_effects(kept)
        records += [_effect(series, effect) for effect in ranked]
        if not ranked:
            thin.append(f"{series}: {tested} tested cases, at least {FEWEST_CASES} that differ are ranked.")
    return records, thin


def _stored(store: Store, dataset_id: str, scope: str) -> list[Effect]:
    return [row for row in read_rows(store, dataset_id, "effects") or [] if row["scope"] == scope]


def _require_known(cases: Mapping[Series, list[Case]], factor: str | None, where: Mapping[str, str]) -> None:
    known: dict[str, set[str]] = {}
    for case in (case for found in cases.values() for case in found):
        for name, value in case.factors.items():
            known.setdefault(name, set()).add(value)
    for name in filter(None, (factor, *where)):
        if known and name not in known:
            raise ConfigurationError(f"No case has the factor {name}. There are: {', '.join(sorted(known))}.")
    for name, value in where.items():
        if known and value not in known[name]:
            raise ConfigurationError(f"No case has {name}={value}. There are: {', '.join(sorted(known[name]))}.")


def _effect(series: Series, effect: Effect) -> PrintedRow:
    return {
        **series.key,
        **effect,
        "share": f"{effect['importance']:.1%}",
        "90 % interval": f"{effect['lower']:.1%} .. {effect['upper']:.1%}",
        "best": f"{effect['best_value']}: {effect['best_mean']:+.2%}",
        "worst": f"{effect['worst_value']}: {effect['worst_mean']:+.2%}",
    }


def _value(series: Series, value: EffectValue) -> PrintedRow:
    lower, upper, mean, best = value["lower"], value["upper"], value["mean_skill"], value["best_skill"]
    return {
        **series.key,
        **value,
        "mean skill": None if mean is None else f"{mean:+.2%}",
        "90 % interval": None if lower is None or upper is None else f"{lower:+.2%} .. {upper:+.2%}",
        "best": None if best is None else f"{best:+.2%}",
        "note": f"n < {FEW}" if value["is_few"] else "",
    }
