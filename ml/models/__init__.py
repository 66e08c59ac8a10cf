"""The registry of model families: a name that test cases use -> how to build the model.

A new family is one module beside this one and one line in `MODELS`. Heavy libraries are imported where a model is
built, so that naming a model costs nothing.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ml.data.targets import Kind
from ml.errors import CaseError
from ml.models.base import Model

#: Kinds of targets whose labels are numbers, which a regressor of any width learns.
NUMBERS: frozenset[Kind] = frozenset(("candle", "summary"))
#: Regressors whose time hardly grows with the number of labels also learn a hundred of them.
MANY_NUMBERS: frozenset[Kind] = NUMBERS | {"path"}
#: Kinds of targets whose labels are whole numbers, which a classifier learns.
CHOICES: frozenset[Kind] = frozenset(("classes", "events"))

Build = Callable[[Mapping[str, Any], int], Model]


@dataclass(frozen=True)
class Family:
    """How a model is built and what it asks of the machine.

    Attributes:
        build: parameters and seed -> an untrained model.
        kind: baseline, linear, kernel, neighbours, tree or neural, for people and for routing.
        seconds_per_million_values: measured fit time on one core per million values (rows x lags x columns) and seed,
            from which chunks are cut.
        minimal_seeds: results of a family that depends on its seed are a mean over at least so many.
        kinds: the kinds of targets that it learns (see `ml.data.targets.Target`).
        inputs: "features" are windows of the case's features, standardised on the train rows; "candles" are windows of
            raw open, high, low, close and volume.
    """

    build: Build
    kind: str
    seconds_per_million_values: float
    minimal_seeds: int = 1
    kinds: frozenset[Kind] = frozenset(("candle",))
    inputs: Literal["features", "candles"] = "features"


def _built(place: str, **defaults: Any) -> Build:
    """A builder from the class or function at "module:name" of this package, imported when it is first called.

    A seed is given to those that take one: the others have nothing random in them.
    """
    module, name = place.split(":")

    def build(params: Mapping[str, Any], seed: int) -> Model:
        make = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        taken = _parameters(make)
        unknown = sorted(set(params) - (taken - {"seed"}))
        if unknown:
            raise CaseError(
                f"{name} has no parameter {', '.join(unknown)}. It takes: "
                f"{', '.join(sorted(taken - {'seed'})) or 'none'}."
            )
        model: Model = make(**(defaults | dict(params)), **({"seed": seed} if "seed" in taken else {}))
        return model

    return build


def _parameters(make: Any) -> set[str]:
    """Names that a class or function takes; a class that hands on ``**settings`` also those of its parent."""
    parameters = inspect.signature(make).parameters
    named = {name for name, one in parameters.items() if one.kind is not inspect.Parameter.VAR_KEYWORD}
    return named if len(named) == len(parameters) else named | _parameters(make.__base__)


def _classifier(name: str, kind: str, seconds_per_million_values: float) -> Family:
    return Family(_built(f"classifier_families:{name}"), kind, seconds_per_million_values, kinds=CHOICES)


def _network(name: str, seconds_per_million_values: float, **defaults: Any) -> Family:
    build = _built(f"neural:{name}", **defaults)
    return Family(build, "neural", seconds_per_million_values, minimal_seeds=3, kinds=NUMBERS)


MODELS: dict[str, Family] = {
    "train_mean": Family(_built("baselines:TrainMeanModel"), "baseline", 0.01, kinds=MANY_NUMBERS),
    "last_candle": Family(_built("baselines:LastCandleModel"), "baseline", 0.01, inputs="candles"),
    "ridge": Family(_built("linear:RidgeModel"), "linear", 0.05, kinds=MANY_NUMBERS),
    "elastic_net": Family(_built("linear:ElasticNetModel"), "linear", 0.05, kinds=MANY_NUMBERS),
    "huber": Family(_built("linear:HuberModel"), "linear", 0.5, kinds=NUMBERS),
    "lightgbm": Family(_built("trees:LightGBMModel"), "tree", 2.0, kinds=NUMBERS),
    "hist_gradient_boosting": Family(_built("trees:HistGradientBoostingModel"), "tree", 2.0, kinds=NUMBERS),
    "random_forest": Family(_built("forests:RandomForestModel"), "tree", 5.0, kinds=NUMBERS),
    "extra_trees": Family(_built("forests:ExtraTreesModel"), "tree", 3.0, kinds=NUMBERS),
    "k_nearest": Family(_built("neighbours:KNearestModel"), "neighbours", 2.5, kinds=MANY_NUMBERS),
    "mlp": _network("MLPModel", 0.3, units=64, depth=2),
    "lstm": _network("LSTMModel", 1.5),
    "gru": _network("GRUModel", 1.5),
    "temporal_cnn": _network("TemporalCNNModel", 4.0, depth=3),
    "multi_horizon_lstm": Family(
        _built("neural:MultiHorizonLSTM"), "neural", 1.5, minimal_seeds=3, kinds=frozenset(("path",))
    ),
    "chart_cnn": Family(
        _built("neural:ChartCNNModel", units=16, depth=4, learning_rate=0.001, batch_size=64, epochs=12, patience=3),
        "neural",
        900.0,
        minimal_seeds=3,
        kinds=NUMBERS,
        inputs="candles",
    ),
    "class_prior": _classifier("class_prior", "baseline", 0.01),
    "logistic": _classifier("logistic", "linear", 0.4),
    "linear_discriminant": _classifier("linear_discriminant", "linear", 0.05),
    "quadratic_discriminant": _classifier("quadratic_discriminant", "linear", 0.1),
    "naive_bayes": _classifier("naive_bayes", "linear", 0.1),
    "linear_svm": _classifier("linear_svm", "linear", 1.0),
    "rbf_svm": _classifier("rbf_svm", "kernel", 40.0),
    "rbf_svm_nystroem": _classifier("rbf_svm_nystroem", "kernel", 7.0),
    "k_nearest_classifier": Family(_built("neighbours:KNearestClassifier"), "neighbours", 2.0, kinds=CHOICES),
    "decision_tree": _classifier("decision_tree", "tree", 0.7),
    "random_forest_classifier": _classifier("random_forest_classifier", "tree", 4.0),
    "ada_boost": _classifier("ada_boost", "tree", 7.0),
    "gradient_boosting_classifier": _classifier("gradient_boosting_classifier", "tree", 7.0),
    "hist_gradient_boosting_classifier": _classifier("hist_gradient_boosting_classifier", "tree", 1.2),
    "lightgbm_classifier": _classifier("lightgbm_classifier", "tree", 1.6),
}
