"""Where a classifier decides, over two of its inputs, with all others at their median.

The classifier learns the train rows and is measured on the validation rows; the holdout stays closed. Its work is
bounded for any number of inputs: the plane has `SIDE` x `SIDE` cells, at most `SCREENED` inputs are tried as
axes, and each of them on at most `SAMPLED` rows.

Of events, which may happen together, the first one is shown, as two classes: it happens or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from ml.analysis.records import BoundaryCellRow, BoundaryPointRow, BoundaryRow, OfDataset, OfPair
from ml.data.datasets import Dataset
from ml.data.targets import Floats, Target
from ml.errors import CaseError
from ml.evaluation.forecaster import Ensemble, fit_ensemble
from ml.evaluation.learning import rows_to_learn
from ml.evaluation.preparation import PreparedCase, check_rows, prepare
from ml.metrics.prices import BEYOND_LUCK
from ml.metrics.scorer import Rows
from ml.models import CHOICES, MODELS
from ml.models.base import Inputs
from ml.records import ResultRow
from ml.search.cases import TestCase

#: Cells of the plane per axis, and the quantiles of the train rows at which the axes begin and end.
SIDE = 40
EDGES = (0.01, 0.99)
#: Inputs that are tried as axes, and rows that each is tried on.
SCREENED = 16
SAMPLED = 2_000
#: Train rows in the 3 x 3 cells around a cell; with fewer the decision there rests on rows far away.
FEW_ROWS = 5
MOST_POINTS = 300
#: Features of the classifier that is fitted where no result has one: groups that every dataset has.
DEFAULT_PREFIXES = ("log_return_", "har_", "season_")
DEFAULT_MODEL, DEFAULT_TARGET = "random_forest_classifier", "trade"

Axes = tuple[str, str]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Boundary:
    """Rows of the three tables of one pair of features."""

    summary: BoundaryRow
    cells: list[BoundaryCellRow]
    points: list[BoundaryPointRow]


def classifier_case(dataset: Dataset, results: Sequence[ResultRow]) -> TestCase:
    """The classifier to draw: that of the best tested result of a classifier, else a forest on the usual features.

    Raises:
        CaseError: the dataset has none of the features that the forest would learn from.
    """
    tested = [row for row in results if row["status"] == "tested" and _is_classifier(row) and row["skill"] is not None]
    for row in sorted(tested, key=lambda row: (-row["skill"], row["case_key"])):
        try:
            return TestCase.model_validate_json(row["case_json"])
        except ValueError:  # results are written by workers and not trusted
            continue
    features = [name for name in dataset.columns if name.startswith(DEFAULT_PREFIXES)]
    if not features or DEFAULT_TARGET not in dataset.targets:
        raise CaseError(
            f"Dataset {dataset.id} has no features or labels for a classifier. Switch the group returns, har or season "
            "on in a search space, then run `candleworks export`."
        )
    return TestCase(
        series=dataset.series, features=tuple(features), target=DEFAULT_TARGET, model=DEFAULT_MODEL, feature_set=""
    )


def _is_classifier(row: ResultRow) -> bool:
    family = MODELS.get(row["model"])
    return family is not None and set(family.kinds) == set(CHOICES) and family.inputs == "features"


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A classifier with its rows. Inputs are windows; the axes are values of their latest row."""

    prepared: PreparedCase
    ensemble: Ensemble
    train: Inputs
    held_out: Inputs
    rows: Rows
    train_classes: Numbers
    happened: Numbers

    @classmethod
    def of(cls, case: TestCase, dataset: Dataset) -> _Fitted:
        prepared = prepare(case, dataset)
        rows, held_out = prepared.rows("train"), prepared.rows("validation")
        check_rows(prepared, held_out, "validation")
        inputs, labels, weights = rows_to_learn(prepared, rows)
        return cls(
            prepared=prepared,
            ensemble=fit_ensemble(case, inputs, labels, weights),
            train=np.asarray(prepared.windows_at(rows), dtype=np.float32),
            held_out=np.asarray(prepared.windows_at(held_out), dtype=np.float32),
            rows=held_out,
            train_classes=_numbers(prepared.labels[rows], prepared.target),
            happened=_numbers(prepared.labels[held_out], prepared.target),
        )

    @property
    def case(self) -> TestCase:
        return self.prepared.case

    def place(self, feature: str) -> int:
        """Position of a feature among the inputs.

        Raises:
            CaseError: it is none of them.
        """
        if feature not in self.case.features:
            raise CaseError(
                f"{self.case.model} does not learn from {feature}. It learns from: {', '.join(self.case.features)}."
            )
        return self.case.features.index(feature)

    def decide(self, inputs: Inputs) -> tuple[Numbers, Floats]:
        """Decision (n,) and its probability (n,) for windows."""
        probabilities = self.ensemble.predict(inputs)
        if self.prepared.target.kind == "events":
            first = probabilities[:, :1]
            probabilities = np.concatenate([1 - first, first], axis=1)
        decided = probabilities.argmax(axis=1)
        return decided, probabilities[np.arange(len(decided)), decided]


def _numbers(labels: Floats, target: Target) -> Numbers:
    """Number of the class of each row: position among the target's classes; 1 where the first event happened."""
    if target.kind == "events":
        return (labels[:, 0] > 0).astype(np.int64)
    return np.searchsorted(np.array(list(target.classes)), labels[:, 0].astype(np.int64))


def class_names(target: Target) -> list[str]:
    """Name of each number of a decision."""
    if target.kind == "events":
        return ["no", target.columns[0].removeprefix("label_").replace("_", " ")]
    return list(target.classes.values())


def boundaries(dataset: Dataset, case: TestCase, key: OfDataset, pairs: Sequence[Axes] = ()) -> list[Boundary]:
    """The boundary over the two features that the accuracy depends on most, and over further pairs.

    Args:
        dataset: to learn and to measure on.
        case: a classifier of features.
        key: columns of its rows.
        pairs: features of the case; the default pair among them is not drawn twice.

    Raises:
        CaseError: a feature is not one of the case, or too few rows are usable.
    """
    fitted = _Fitted.of(case, dataset)
    for pair in pairs:
        if pair[0] == pair[1]:
            raise CaseError(f"Two different features make a plane, was {pair[0]} twice. Change --x or --y.")
        for name in pair:
            fitted.place(name)
    default = most_important(fitted)
    accuracy = fitted.decide(fitted.held_out)[0]
    return [_boundary(fitted, pair, pair == default, key, accuracy) for pair in dict.fromkeys((default, *pairs))]


def most_important(fitted: _Fitted) -> Axes:
    """The two features whose exchange among held-out rows costs the most accuracy.

    Only the `SCREENED` features that differ most between the classes are tried.

    Raises:
        CaseError: the classifier learns from one feature alone.
    """
    names = fitted.case.features
    if len(names) < 2:
        raise CaseError(
            f"A plane needs two features, {fitted.case.model} learns from {len(names)}. Choose another case."
        )
    screened = _screened(fitted)
    draw = np.random.default_rng(0)
    sample = draw.permutation(len(fitted.held_out))[:SAMPLED]
    inputs, happened = fitted.held_out[sample], fitted.happened[sample]
    right = fitted.decide(inputs)[0] == happened
    losses = []
    for place in screened:
        changed = inputs.copy()
        changed[:, :, place] = inputs[draw.permutation(len(inputs))][:, :, place]
        losses.append(float(right.mean() - (fitted.decide(changed)[0] == happened).mean()))
    order = sorted(range(len(screened)), key=lambda i: (-losses[i], i))
    return names[screened[order[0]]], names[screened[order[1]]]


def _screened(fitted: _Fitted) -> list[int]:
    """Places of the features whose variance between classes is the largest share of all (one-way ANOVA)."""
    values = fitted.train[:, -1, :].astype(np.float64)
    spread = values.var(axis=0)
    between = np.zeros(values.shape[1])
    for one in np.unique(fitted.train_classes):
        of_class = values[fitted.train_classes == one]
        between += len(of_class) / len(values) * (of_class.mean(axis=0) - values.mean(axis=0)) ** 2
    share = np.divide(between, spread, out=np.zeros_like(between), where=spread > 0)
    return [int(place) for place in np.argsort(-share, kind="stable")[:SCREENED]]


def _boundary(fitted: _Fitted, pair: Axes, is_default: bool, key: OfDataset, decided: Numbers) -> Boundary:
    of_pair: OfPair = {**key, "x_feature": pair[0], "y_feature": pair[1]}
    places = fitted.place(pair[0]), fitted.place(pair[1])
    majority = int(np.bincount(fitted.train_classes).argmax())
    names = class_names(fitted.prepared.target)
    accuracy = float(np.mean(decided == fitted.happened))
    summary: BoundaryRow = {
        **of_pair,
        "is_default": is_default,
        "case_key": fitted.case.key,
        "model": fitted.case.model,
        "target": fitted.case.target,
        "classes": json.dumps(names),
        "accuracy": accuracy,
        "majority_accuracy": float(np.mean(fitted.happened == majority)),
        "accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / len(decided))),
        "majority_class": names[majority],
        "n_inputs": len(fitted.case.features) * fitted.case.lags,
        "n_train": len(fitted.train),
        "n_held_out": len(decided),
    }
    return Boundary(
        summary,
        _cells(fitted, places, of_pair),
        _points(fitted, places, of_pair, decided),
    )


def _cells(fitted: _Fitted, places: tuple[int, int], of_pair: OfPair) -> list[BoundaryCellRow]:
    """The plane, one row after the other from the lowest y."""
    latest = fitted.train[:, -1, :]
    x_edges, y_edges = (_edges(latest[:, place]) for place in places)
    x, y = ((edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges))
    at_x, at_y = np.tile(x, SIDE), np.repeat(y, SIDE)
    inputs = np.repeat(np.median(fitted.train, axis=0)[None], SIDE * SIDE, axis=0).astype(np.float32)
    inputs[:, -1, places[0]], inputs[:, -1, places[1]] = at_x, at_y
    decided, probability = fitted.decide(inputs)
    counts = np.histogram2d(latest[:, places[1]], latest[:, places[0]], bins=(y_edges, x_edges))[0]
    padded = np.pad(counts, 1)
    around = sum(padded[i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3))
    near = np.asarray(around).ravel().astype(np.int64)
    return [
        {
            **of_pair,
            "x": float(at_x[i]),
            "y": float(at_y[i]),
            "decided": int(decided[i]),
            "probability": float(probability[i]),
            "n_train": int(near[i]),
            "is_sparse": bool(near[i] < FEW_ROWS),
        }
        for i in range(SIDE * SIDE)
    ]


def _edges(values: Inputs) -> Floats:
    low, high = np.quantile(values.astype(np.float64), EDGES)
    if high <= low:  # a feature that hardly varies
        low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else low + 1.0, SIDE + 1)


def _points(fitted: _Fitted, places: tuple[int, int], of_pair: OfPair, decided: Numbers) -> list[BoundaryPointRow]:
    """The latest held-out rows."""
    latest = fitted.held_out[:, -1, :]
    times = fitted.prepared.dataset.open_time_ms[fitted.rows]
    return [
        {
            **of_pair,
            "open_time": datetime.fromtimestamp(int(times[i]) / 1000, UTC).replace(tzinfo=None),
            "x": float(latest[i, places[0]]),
            "y": float(latest[i, places[1]]),
            "happened": int(fitted.happened[i]),
            "decided": int(decided[i]),
        }
        for i in range(max(0, len(latest) - MOST_POINTS), len(latest))
    ]


def is_better(row: BoundaryRow) -> bool:
    """Whether the classifier is better than its most frequent class by more than luck."""
    return row["accuracy"] - row["majority_accuracy"] > BEYOND_LUCK * row["accuracy_se"]


def accuracy_sentence(row: BoundaryRow) -> str:
    """The accuracy of the classifier against its most frequent class, to be read before its plane.

    A classifier that is not better than its most frequent class, beyond luck, is called so.
    """
    is_worse = row["majority_accuracy"] - row["accuracy"] > BEYOND_LUCK * row["accuracy_se"]
    verdict = "better than" if is_better(row) else "worse than" if is_worse else "no better than"
    return (
        f"{row['model']} is right in {row['accuracy']:.1%} of {row['n_held_out']:,} held-out rows, "
        f"{verdict} always {row['majority_class']} ({row['majority_accuracy']:.1%})."
    )
