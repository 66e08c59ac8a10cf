"""The parameters of every model family: names, types, ranges and defaults.

A test case is validated against them before any work, and its parameters are filled in from them, so that ``{}``,
``{alpha: 1}`` and ``{alpha: 1.0}`` are one case. The family's class or function documents its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Scalar = bool | int | float | str


def _whole(value: Any) -> Any:
    """Accept 50.0 as a whole number, since TOML and JSON may write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
#: In (0, 1], such as the share of a sample.
Share = Annotated[float, Field(gt=0, le=1)]
#: In [0, 1], such as the weight in a mixture.
Part = Annotated[float, Field(ge=0, le=1)]
Depth = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=64)]
Leaves = Annotated[int, BeforeValidator(_whole), Field(ge=2, le=131_072)]
Width = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=4096)]


class Parameters(BaseModel):
    """The parameters of a family without any, and the base of all others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Ridge(Parameters):
    alpha: NotNegative = 1.0


class ElasticNet(Parameters):
    alpha: Positive = 0.01
    l1_ratio: Part = 0.5


class Huber(Parameters):
    epsilon: Annotated[float, Field(ge=1)] = 1.35
    alpha: NotNegative = 1.0


class LightGBM(Parameters):
    trees: Count = 150
    learning_rate: Share = 0.05
    leaves: Leaves = 15
    minimal_rows_in_leaf: Count = 100


class LightGBMClassifier(LightGBM):
    trees: Count = 100


class HistGradientBoosting(Parameters):
    trees: Count = 100
    learning_rate: Share = 0.06
    leaves: Leaves = 15
    l2: NotNegative = 1.0


class HistGradientBoostingClassifier(HistGradientBoosting):
    trees: Count = 50


class ExtraTrees(Parameters):
    trees: Count = 50
    depth: Depth = 10
    minimal_rows_in_leaf: Count = 50
    columns: Share = 0.7


class RandomForest(ExtraTrees):
    columns: Share = 0.33
    rows: Share = 0.5


class RandomForestClassifier(ExtraTrees):
    depth: Depth = 8
    columns: Share = 0.25


class KNearest(Parameters):
    neighbours: Count = 200
    reference_rows: Count = 20_000


class KNearestClassifier(KNearest):
    neighbours: Count = 100


class Network(Parameters):
    units: Width = 32
    depth: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=16)] = 1
    learning_rate: Share = 0.002
    batch_size: Count = 256
    epochs: Count = 60
    patience: Count = 6


class MLP(Network):
    units: Width = 64
    depth: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=16)] = 2


class TemporalCNN(Network):
    depth: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=16)] = 3


class MultiHorizon(Network):
    points: Annotated[int, BeforeValidator(_whole), Field(ge=2, le=100)] = 10


class ChartCNN(Network):
    units: Width = 16
    # As many stages as `ml.networks.architectures.CHART_WIDTHS` has widths.
    depth: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=4)] = 4
    learning_rate: Share = 0.001
    batch_size: Count = 64
    epochs: Count = 12
    patience: Count = 3


class Logistic(Parameters):
    c: Positive = 1.0


class LinearSVM(Parameters):
    c: Positive = 0.025


class RbfSVM(Parameters):
    c: Positive = 1.0
    gamma: Positive | None = None
    row_limit: Count = 10_000


class RbfSVMNystroem(Parameters):
    c: Positive = 0.1
    gamma: Positive | None = None
    landmarks: Count = 100


class DecisionTree(Parameters):
    depth: Depth = 5
    minimal_rows_in_leaf: Count = 50


class AdaBoost(Parameters):
    trees: Count = 50
    learning_rate: Positive = 1.0
    calibrated: bool = True


class GradientBoostingClassifier(Parameters):
    trees: Count = 50
    learning_rate: Share = 0.1
    depth: Depth = 3
    columns: Share = 0.25


class NaiveBayes(Parameters):
    smoothing: NotNegative = 1e-3
    calibrated: bool = True


class LinearDiscriminant(Parameters):
    shrinkage: Part | None = None


class QuadraticDiscriminant(Parameters):
    shrinkage: Part = 0.1
    calibrated: bool = True


def filled(model: str, kind: type[Parameters], params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """All parameters of a model, with defaults filled in; a parameter that is None is left out.

    Args:
        model: its name, for errors.
        kind: its parameter class.
        params: the given parameters.

    Raises:
        ValueError: a name is unknown, or a value of another type or out of range; one line.
    """
    try:
        return kind.model_validate(dict(params)).model_dump(exclude_none=True)
    except ValidationError as error:
        raise ValueError(_problem(model, kind, error)) from None


def _problem(model: str, kind: type[Parameters], error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        takes = ", ".join(sorted(kind.model_fields)) or "none"
        return f"{model} has no parameter {name!r}.{did_you_mean(name, kind.model_fields)} It takes: {takes}."
    return f"{model}: {name} = {first['input']!r}: {first['msg'].lower()}"


def did_you_mean(name: str, known: Any) -> str:
    """A sentence, with a leading space, that names the most similar known name; empty if there is none.

    >>> did_you_mean("alhpa", ["alpha", "trees"])
    " Did you mean 'alpha'?"
    """
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
