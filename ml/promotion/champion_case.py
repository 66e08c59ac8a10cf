"""The case of a champion, also where its model is damaged or was saved in a form that is not loaded any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from ml.errors import CaseError, StoreError
from ml.execution.results import read_results
from ml.forecasting.model_folder import ModelFolder, ModelSeal, frozen_seal_of, seal_of
from ml.forecasting.model_store import usable_model
from ml.records import ModelCard, ResultRow, VerdictRecord
from ml.search.cases import TestCase
from ml.store import Store

#: Figures of a verdict that a card made from it has.
_HOLDOUT = ("rmse_pct", "skill", "skill_mean_range", "band_coverage")
_SELECTION = ("rmse_pct", "skill", "skill_mean_range", "baseline")


def is_loadable(store: Store, champion: VerdictRecord) -> bool:
    """Whether the model that serves for a champion is whole and in a form that is loaded."""
    return usable_model(store, champion["model_id"], seal_of(champion)) is not None


def champion_case(store: Store, champion: VerdictRecord) -> TestCase:
    """The case of a champion: from a model card, else from the result that was promoted.

    Raises:
        StoreError: of the model that serves; the case is nowhere else.
    """
    found, problem = _folder(store, champion)
    if found is not None:
        return found.case
    for row in read_results(store, champion["dataset_id"], ["case_json"]):
        if row["case_key"] == champion["case_key"]:
            try:
                case = TestCase.model_validate_json(row["case_json"])
            except (ValueError, CaseError):
                continue
            if case.key == champion["case_key"]:
                return case
    assert problem is not None
    raise problem


def champion_card(store: Store, champion: VerdictRecord) -> ModelCard:
    """The card of a champion: that of a model, else one of the figures in its verdict."""
    found, _ = _folder(store, champion)
    if found is not None:
        return found.card
    holdout = {name: champion.get(f"holdout_{name}") for name in _HOLDOUT}
    card = {
        "series": {name: champion[name] for name in ("exchange", "symbol", "timeframe")},
        "selection": cast(ResultRow, {name: champion.get(name) for name in _SELECTION}),
        "n_trials": champion.get("n_trials"),
        "holdout": {name: value for name, value in holdout.items() if value is not None},
        "holdout_rows": champion.get("holdout_rows"),
        "test": {name: champion.get(name) for name in ("p_value", "n_days", "alpha", "spa_p_value")},
    }
    return cast(ModelCard, card)


def _models(champion: VerdictRecord) -> Iterator[tuple[str, ModelSeal]]:
    yield champion["model_id"], seal_of(champion)
    if frozen := champion.get("frozen_model_id"):
        yield frozen, frozen_seal_of(champion)


def _folder(store: Store, champion: VerdictRecord) -> tuple[ModelFolder | None, StoreError | None]:
    """The first model of a champion whose card is whole, and the problem of the one that serves."""
    problem: StoreError | None = None
    for identity, seal in _models(champion):
        try:
            return ModelFolder.open(store, identity, seal), problem
        except StoreError as error:
            problem = problem or error
    return None, problem
