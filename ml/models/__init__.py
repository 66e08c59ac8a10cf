"""The registry of model families: a name that test cases use -> how to build the model.

A new family is one module beside this one and one line in `MODELS`. Heavy libraries are imported where a model is
built, so that naming a model costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ml.models.base import Model
from ml.targets import Kind

#: Kinds of targets whose labels are numbers, which a regressor of any width learns.
NUMBERS: frozenset[Kind] = frozenset(("candle", "summary"))


@dataclass(frozen=True)
class Family:
    """How a model is built and what it asks of the machine.

    Attributes:
        build: parameters and seed -> an untrained model.
        kind: linear, tree or neural, for people and for routing.
        seconds_per_million_values: measured fit time on one core per million values (rows x lags x columns) and seed,
            from which chunks are cut.
        minimal_seeds: results of a family that depends on its seed are a mean over at least so many.
        kinds: the kinds of targets that it learns (see `ml.targets.Target`).
        inputs: "features" are windows of the case's features, standardised on the train rows; "candles" are windows of
            raw open, high, low, close and volume.
    """

    build: Callable[[Mapping[str, Any], int], Model]
    kind: str
    seconds_per_million_values: float
    minimal_seeds: int = 1
    kinds: frozenset[Kind] = frozenset(("candle",))
    inputs: Literal["features", "candles"] = "features"


def _ridge(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.linear import RidgeModel  # noqa: PLC0415

    return RidgeModel(**params)


def _lightgbm(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.trees import LightGBMModel  # noqa: PLC0415

    return LightGBMModel(seed=seed, **params)


def _hist_gradient_boosting(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.trees import HistGradientBoostingModel  # noqa: PLC0415

    return HistGradientBoostingModel(seed=seed, **params)


def _lstm(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.neural import LSTMModel  # noqa: PLC0415

    return LSTMModel(seed=seed, **params)


MODELS: dict[str, Family] = {
    "ridge": Family(_ridge, "linear", 0.05, kinds=NUMBERS | {"path"}),
    "lightgbm": Family(_lightgbm, "tree", 2.0),
    "hist_gradient_boosting": Family(_hist_gradient_boosting, "tree", 2.0),
    "lstm": Family(_lstm, "neural", 2.0, minimal_seeds=3),
}
