"""The registry of model families: the name in a test case -> how to build the model.

A new family is one module in this package and one entry in `MODELS`. Heavy libraries are imported when a model is
built, so that naming a model costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ml.data.targets import Kind
from ml.errors import CaseError
from ml.models import parameters as p
from ml.models.base import Model

#: Kinds of targets for regressors.
NUMBERS: frozenset[Kind] = frozenset(("candle", "summary"))
#: Kinds for regressors whose fit time hardly grows with the number of labels: also paths of a hundred labels.
MANY_NUMBERS: frozenset[Kind] = NUMBERS | {"path"}
#: Kinds of targets for classifiers.
CHOICES: frozenset[Kind] = frozenset(("classes", "events"))

Build = Callable[[Mapping[str, p.Scalar], int], Model]


@dataclass(frozen=True)
class Family:
    """A model family: how to build a model, and its requirements.

    Attributes:
        build: parameters and seed -> an untrained model.
        kind: baseline, linear, kernel, neighbours, tree, neural or ensemble; for display and for routing to work pools.
        seconds_per_million_values: measured fit time on one core per million values (rows x lags x columns) and seed,
            used to cut chunks.
        minimal_seeds: fewest seeds of a case, whose result is their mean.
        kinds: the kinds of targets that it learns (see `ml.data.targets.Target`).
        inputs: "features" are windows of the case's features, standardised on the train rows; "candles" are windows of
            raw open, high, low, close and volume; "members" are the features of the cases whose mean it is.
        parameters: its parameters (see `ml.models.parameters`).
        takes_seed: whether its fit is random; if not, seeds are ignored.
        takes_weights: whether its rows may have weights (`ml.models.base.WeightedModel`).
        most_lags: longest window in rows.
        place: "module:name" of the class or function, which documents its parameters.
    """

    build: Build
    kind: str
    seconds_per_million_values: float
    minimal_seeds: int = 1
    kinds: frozenset[Kind] = frozenset(("candle",))
    inputs: Literal["features", "candles", "members"] = "features"
    parameters: type[p.Parameters] = p.Parameters
    takes_seed: bool = True
    takes_weights: bool = False
    most_lags: int = 500
    place: str = ""


def _family(
    place: str,
    kind: str,
    seconds_per_million_values: float,
    parameters: type[p.Parameters] = p.Parameters,
    *,
    takes_seed: bool = False,
    **changes: Any,
) -> Family:
    """A family from the class or function at "module:name" of this package, imported when it is first built."""
    module, name = place.split(":")

    def build(params: Mapping[str, p.Scalar], seed: int) -> Model:
        try:
            values = p.filled(name, parameters, params)
        except ValueError as error:
            raise CaseError(str(error)) from None
        make = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        model: Model = make(**values, **({"seed": seed} if takes_seed else {}))
        return model

    return Family(
        build, kind, seconds_per_million_values, parameters=parameters, takes_seed=takes_seed, place=place, **changes
    )


def _classifier(name: str, *arguments: Any, **changes: Any) -> Family:
    return _family(f"classifier_families:{name}", *arguments, kinds=CHOICES, **changes)


def _trees(place: str, *arguments: Any) -> Family:
    return _family(place, "tree", *arguments, takes_seed=True, kinds=NUMBERS, takes_weights=True)


def _network(
    name: str,
    seconds_per_million_values: float,
    parameters: type[p.Parameters] = p.Network,
    *,
    kinds: frozenset[Kind] = NUMBERS,
    **changes: Any,
) -> Family:
    changes |= {"minimal_seeds": 3, "kinds": kinds, "takes_seed": True}
    return _family(f"neural:{name}", "neural", seconds_per_million_values, parameters, **changes)


#: The mean of other cases, its members (`ml.search.cases.TestCase.members`).
ENSEMBLE = "ensemble"


def _no_model(params: Mapping[str, p.Scalar], seed: int) -> Model:
    raise CaseError("An ensemble has no model of its own: its members are fitted.")


MODELS: dict[str, Family] = {
    ENSEMBLE: Family(_no_model, "ensemble", 0.0, inputs="members", takes_seed=False),
    "train_mean": _family("baselines:TrainMeanModel", "baseline", 0.01, kinds=MANY_NUMBERS),
    "last_candle": _family("baselines:LastCandleModel", "baseline", 0.01, inputs="candles"),
    # In a group, as nearly always; a fit alone takes 0.05.
    "ridge": _family("linear:RidgeModel", "linear", 0.001, p.Ridge, kinds=MANY_NUMBERS, takes_weights=True),
    "elastic_net": _family(
        "linear:ElasticNetModel", "linear", 0.05, p.ElasticNet, kinds=MANY_NUMBERS, takes_weights=True
    ),
    "huber": _family("linear:HuberModel", "linear", 0.5, p.Huber, kinds=NUMBERS, takes_weights=True),
    "lightgbm": _trees("trees:LightGBMModel", 2.0, p.LightGBM),
    "hist_gradient_boosting": _trees("trees:HistGradientBoostingModel", 2.0, p.HistGradientBoosting),
    "random_forest": _trees("forests:RandomForestModel", 5.0, p.RandomForest),
    "extra_trees": _trees("forests:ExtraTreesModel", 3.0, p.ExtraTrees),
    "k_nearest": _family("neighbours:KNearestModel", "neighbours", 2.5, p.KNearest, kinds=MANY_NUMBERS),
    "mlp": _network("MLPModel", 0.3, p.MLP),
    "lstm": _network("LSTMModel", 1.5),
    "gru": _network("GRUModel", 1.5),
    "temporal_cnn": _network("TemporalCNNModel", 4.0, p.TemporalCNN),
    "multi_horizon_lstm": _network("MultiHorizonLSTM", 1.5, p.MultiHorizon, kinds=frozenset(("path",))),
    "chart_cnn": _network("ChartCNNModel", 900.0, p.ChartCNN, inputs="candles", most_lags=200),
    # Of images without prices: what other programs send to the HTTP API.
    "chart_image_cnn": _network(
        "ChartImageModel", 900.0, p.ChartCNN, kinds=frozenset(("summary",)), inputs="candles", most_lags=200
    ),
    "class_prior": _classifier("class_prior", "baseline", 0.01),
    "logistic": _classifier("logistic", "linear", 0.4, p.Logistic),
    "linear_discriminant": _classifier("linear_discriminant", "linear", 0.05, p.LinearDiscriminant),
    "quadratic_discriminant": _classifier("quadratic_discriminant", "linear", 0.1, p.QuadraticDiscriminant),
    "naive_bayes": _classifier("naive_bayes", "linear", 0.1, p.NaiveBayes),
    "linear_svm": _classifier("linear_svm", "linear", 1.0, p.LinearSVM),
    "rbf_svm": _classifier("rbf_svm", "kernel", 40.0, p.RbfSVM),
    "rbf_svm_nystroem": _classifier("rbf_svm_nystroem", "kernel", 7.0, p.RbfSVMNystroem, takes_seed=True),
    "k_nearest_classifier": _family(
        "neighbours:KNearestClassifier", "neighbours", 2.0, p.KNearestClassifier, kinds=CHOICES
    ),
    "decision_tree": _classifier("decision_tree", "tree", 0.7, p.DecisionTree, takes_seed=True),
    "random_forest_classifier": _classifier(
        "random_forest_classifier", "tree", 4.0, p.RandomForestClassifier, takes_seed=True
    ),
    "ada_boost": _classifier("ada_boost", "tree", 7.0, p.AdaBoost, takes_seed=True),
    "gradient_boosting_classifier": _classifier(
        "gradient_boosting_classifier", "tree", 7.0, p.GradientBoostingClassifier, takes_seed=True
    ),
    "hist_gradient_boosting_classifier": _classifier(
        "hist_gradient_boosting_classifier", "tree", 1.2, p.HistGradientBoostingClassifier, takes_seed=True
    ),
    "lightgbm_classifier": _classifier("lightgbm_classifier", "tree", 1.6, p.LightGBMClassifier, takes_seed=True),
}
