"""The registry of model families: a name that test cases use -> how to build the model.

A new family is one module beside this one and one line in `MODELS`. Heavy libraries are imported where a model is
built, so that naming a model costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ml.models.base import Model


@dataclass(frozen=True)
class Family:
    """How a model is built and what it asks of the machine.

    Attributes:
        build: parameters and seed -> an untrained model.
        kind: linear, tree or neural, for people and for routing.
        seconds_per_million_values: measured fit time on one core per million values (rows x lags x columns) and seed,
            from which chunks are cut.
        minimal_seeds: results of a family that depends on its seed are a mean over at least so many.
        kinds: kinds of targets that it learns; see `ml.targets.Target`.
        inputs: what its windows hold: "features", standardised, or "candles", open high low close volume as they are.
    """

    build: Callable[[Mapping[str, Any], int], Model]
    kind: str
    seconds_per_million_values: float
    minimal_seeds: int = 1
    kinds: frozenset[str] = frozenset({"candle"})
    inputs: str = "features"


def _ridge(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.linear import RidgeModel  # noqa: PLC0415

    return RidgeModel(**params)


def _lightgbm(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.trees import LightGBMModel  # noqa: PLC0415

    return LightGBMModel(seed=seed, **params)


def _hist_gradient_boosting(params: Mapping[str, Any], seed: int) -> Model:
    from ml.models.trees import HistGradientBoostingModel  # noqa: PLC0415

    return HistGradientBoostingModel(seed=seed, **params)


def _neural(name: str, **defaults: Any) -> Callable[[Mapping[str, Any], int], Model]:
    def build(params: Mapping[str, Any], seed: int) -> Model:
        from ml.models import neural  # noqa: PLC0415

        model: Model = getattr(neural, name)(seed=seed, **(defaults | dict(params)))
        return model

    return build


#: What a regressor of any number of labels learns.
FIGURES = frozenset({"candle", "summary"})

MODELS: dict[str, Family] = {
    "ridge": Family(_ridge, "linear", 0.05),
    "lightgbm": Family(_lightgbm, "tree", 2.0),
    "hist_gradient_boosting": Family(_hist_gradient_boosting, "tree", 2.0),
    "mlp": Family(_neural("MLPModel", units=64, depth=2), "neural", 0.3, minimal_seeds=3, kinds=FIGURES),
    "lstm": Family(_neural("LSTMModel"), "neural", 1.5, minimal_seeds=3, kinds=FIGURES),
    "gru": Family(_neural("GRUModel"), "neural", 1.5, minimal_seeds=3, kinds=FIGURES),
    "temporal_cnn": Family(_neural("TemporalCNNModel", depth=3), "neural", 4.0, minimal_seeds=3, kinds=FIGURES),
    "multi_horizon_lstm": Family(
        _neural("MultiHorizonLSTM"), "neural", 1.5, minimal_seeds=3, kinds=frozenset({"path"})
    ),
    "chart_cnn": Family(
        _neural("ChartCNNModel", units=16, depth=4, learning_rate=0.001, batch_size=64, epochs=12, patience=3),
        "neural",
        900.0,
        minimal_seeds=3,
        kinds=FIGURES,
        inputs="candles",
    ),
}
