"""Forecasters: fitted models with their scalers, as they are evaluated, saved and served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ml.data.targets import CLOSE, NEXT_CANDLE, TARGETS, Floats, Kind, Target, coherent
from ml.errors import PredictionError
from ml.evaluation.units import Units
from ml.models import MODELS
from ml.models.base import Classifier, Columns, GroupedModel, Inputs, Model, SummedModel, fit_many
from ml.search.cases import TestCase

#: Standardised inputs are clipped here, so that one flash crash does not dominate a linear model.
CLIP = 8.0
#: Larger predictions are refused: a logarithmic move of 1 (candle, path), 1,000 percent (summary).
LARGEST: dict[Kind, float] = {"candle": 1.0, "path": 1.0, "summary": 1000.0}
#: Tolerance of probabilities, and of their sum, for rounding in float32.
PROBABILITY_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and standard deviation (f,) of the train rows."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of(cls, train: Inputs) -> Scaler:
        """Measure windows (n, lags, f); a constant column keeps the scale 1."""
        latest = train[:, -1, :].astype(np.float64)
        # The computed deviation of a constant need not be exactly 0, because of rounding.
        varies = latest.max(axis=0) > latest.min(axis=0)
        return cls(mean=latest.mean(axis=0), scale=np.where(varies, latest.std(axis=0), 1.0))

    def of_columns(self, columns: Columns) -> Scaler:
        """The scaler of some of the columns; None for all."""
        return self if columns is None else Scaler(self.mean[list(columns)], self.scale[list(columns)])

    def transform(self, inputs: Inputs) -> Inputs:
        """Standardise and clip windows (n, lags, f)."""
        scaled = (inputs - self.mean.astype(np.float32)) / self.scale.astype(np.float32)
        return np.clip(scaled, -CLIP, CLIP)


@dataclass(frozen=True, eq=False)
class Member:
    """One model of one seed with its scaler; None if the family takes raw candles.

    Attributes:
        units: in which the model learns and predicts; None for log units.
    """

    scaler: Scaler | None
    model: Model
    target: Target = TARGETS[NEXT_CANDLE]
    units: Units | None = None

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, k) or probabilities (n, c) for raw windows (n, lags, f), checked (see `check_predictions`)."""
        return self.checked(in_log_units(self.model.predict(self.ready(inputs)), inputs, self.units), len(inputs))

    def ready(self, inputs: Inputs) -> Inputs:
        """Raw windows (n, lags, f) as the model takes them: in its units, standardised."""
        return ready(inputs, self.units, self.scaler)

    def checked(self, outputs: Floats, rows: int) -> Floats:
        """Predictions from the model's outputs for n rows.

        Raises:
            PredictionError: they are not usable.
        """
        predicted = np.asarray(outputs, dtype=np.float64)
        if self.target.kind == "classes":
            predicted = _over_all_classes(predicted, cast(Classifier, self.model).classes, self.target)
        check_predictions(predicted, rows, self.target)
        return predicted


def ready(inputs: Inputs, units: Units | None, scaler: Scaler | None) -> Inputs:
    """Raw windows (n, lags, f) in units, then standardised; both are left out where they are None."""
    ratios = inputs if units is None else units.ratios(inputs)
    return ratios if scaler is None else scaler.transform(ratios)


def in_log_units(outputs: Floats, inputs: Inputs, units: Units | None) -> Floats:
    """Outputs (n, k) of a model that learnt in units, for raw windows (n, lags, f), in log units."""
    return outputs if units is None else outputs * units.sizes(inputs)


def _over_all_classes(predicted: Floats, classes: npt.NDArray[np.int64], target: Target) -> Floats:
    """Probabilities (n, all classes of the target); 0 for a class that was not seen in the fit."""
    if predicted.shape[1:] != (len(classes),):
        raise PredictionError(f"Expected a column for each of {len(classes)} classes, was {predicted.shape}.")
    every = np.zeros((len(predicted), len(target.classes)))
    every[:, [list(target.classes).index(int(one)) for one in classes]] = predicted
    return every


@dataclass(frozen=True, eq=False)
class Part:
    """A member of an ensemble case, fitted.

    Attributes:
        case: the member.
        columns: places of its features among those of the ensemble case.
        ensemble: its models, one per seed.
    """

    case: TestCase
    columns: tuple[int, ...]
    ensemble: Ensemble

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, k) for raw windows (n, lags, f) of the ensemble case."""
        return self.ensemble.predict(inputs_of_member(inputs, self.case, self.columns))


def inputs_of_member(inputs: Inputs, member: TestCase, columns: Sequence[int]) -> Inputs:
    """Windows of a member out of the windows (n, lags, f) of its ensemble case."""
    return np.ascontiguousarray(inputs[:, -member.lags :, list(columns)])


@dataclass(frozen=True, eq=False)
class Ensemble:
    """One member per seed of a case; the forecast is their mean, so that no lucky seed is served.

    An ensemble case has the fitted cases `parts` instead, and their mean forecast.

    Attributes:
        keeps_close: whether the close is forecast as the last close.
    """

    members: tuple[Member, ...] = ()
    parts: tuple[Part, ...] = ()
    keeps_close: bool = False

    @property
    def by_seed(self) -> tuple[Ensemble, ...]:
        """The forecasters of each seed, whose figures a result has as means."""
        return (self,) if self.parts else tuple(replace(self, members=(member,)) for member in self.members)

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, k), coherent for candles, or probabilities (n, c) for raw windows (n, lags, f).

        Raises:
            PredictionError: a member's output has another shape, is not finite or is out of range.
        """
        return self.mean([one.predict(inputs) for one in self.members or self.parts])

    def mean(self, predicted: Sequence[Floats]) -> Floats:
        """The forecast from the predictions of the members."""
        mean: Floats = np.mean(predicted, axis=0)
        if self.keeps_close:
            mean[:, CLOSE] = 0.0
        return coherent(mean) if self.parts or self.members[0].target.kind == "candle" else mean


def check_predictions(predicted: Floats, rows: int, target: Target = TARGETS[NEXT_CANDLE]) -> None:
    """Refuse unusable model output.

    Raises:
        PredictionError: naming the reason: shape, NaN, infinity, size, or invalid probabilities.
    """
    shape = (rows, len(target.classes or target.labels))
    if predicted.shape != shape:
        raise PredictionError(f"Expected predictions of shape {shape}, was {predicted.shape}. Fix the model.")
    if np.isnan(predicted).any():
        raise PredictionError("The model predicted NaN. Lower its learning rate or check its features.")
    if np.isinf(predicted).any():
        raise PredictionError("The model predicted infinity. Lower its learning rate or check its features.")
    if target.kind in LARGEST:
        _check_size(predicted, target.kind)
    else:
        _check_probabilities(predicted, target.kind)


def _check_size(predicted: Floats, kind: Kind) -> None:
    largest = float(np.abs(predicted).max(initial=0.0))
    if largest > LARGEST[kind]:
        what = {
            "candle": "a logarithmic move of {} in one candle, at most {} is accepted",
            "path": "a logarithmic move of {} within its horizon, at most {} is accepted",
            "summary": "a change of {} percent, at most {} is accepted",
        }[kind]
        raise PredictionError(
            f"The model predicted {what.format(f'{largest:.3g}', f'{LARGEST[kind]:.4g}')}. Check its features."
        )


def _check_probabilities(predicted: Floats, kind: Kind) -> None:
    outside = np.maximum(predicted - 1, -predicted).max(initial=0.0) > PROBABILITY_ROUNDING
    uneven = kind == "classes" and np.abs(predicted.sum(axis=1) - 1).max(initial=0.0) > PROBABILITY_ROUNDING
    if outside or uneven:
        what = "are outside 0..1" if outside else "do not add up to 1 over the classes"
        raise PredictionError(f"The model's probabilities {what}. Fix the model.")


def fit_ensemble(
    case: TestCase,
    inputs: Inputs,
    labels: Floats,
    weights: Floats | None = None,
    evaluated: Ensemble | None = None,
) -> Ensemble:
    """Fit the scaler and one model per seed of the case on rows in time order.

    Args:
        case: with model, parameters and seeds.
        inputs: raw windows (n, lags, f).
        labels: (n, k).
        weights: (n,) of the rows; None for a case without weights.
        evaluated: for the refit of a champion on all rows, the ensemble as it was evaluated.
    """
    scaler, shown, targets = _scaled(case, inputs, labels)
    models = _models(case)
    if evaluated is not None:
        for model, member in zip(models, evaluated.members, strict=True):
            model.refit_like(member.model)
    fit_many(models, shown, targets, weights=weights)
    return _ensemble(case, scaler, models)


@dataclass(frozen=True, eq=False)
class Ensembles:
    """Ensembles of cases that were fitted together on one table.

    Attributes:
        each: one per case.
        columns: per case, the input columns it uses out of those of the table; None for all.
        scaler: of the table.
        units: of the table.
    """

    each: list[Ensemble]
    columns: Sequence[Columns]
    scaler: Scaler | None
    units: Units | None

    def outputs(self, inputs: Inputs) -> Iterator[tuple[Member, Floats]]:
        """The outputs of all models for raw windows (n, lags, f) of the table, each with its member.

        None at all if predicting together is no faster.
        """
        members = [(member, seen) for one, seen in zip(self.each, self.columns, strict=True) for member in one.members]
        models = [member.model for member, _ in members]
        shown = ready(inputs, self.units, self.scaler)
        found = cast(GroupedModel, models[0]).predict_group(models, [seen for _, seen in members], shown)
        if found is not None:
            for (member, _), outputs in zip(members, found, strict=True):
                yield member, in_log_units(outputs, inputs, self.units)


def fit_ensembles(
    cases: Sequence[TestCase],
    table: TestCase,
    columns: Sequence[Columns],
    inputs: Inputs,
    labels: Floats,
    weights: Floats | None = None,
) -> Ensembles:
    """Fit cases of one model together; the results equal those of `fit_ensemble` up to rounding.

    Args:
        cases: of one model.
        table: the case of all their columns.
        columns: per case, the input columns it uses out of f; None for all.
        inputs: raw windows (n, lags, f) of the columns of all cases.
        labels: (n, k).
        weights: (n,) of the rows; None for cases without weights.
    """
    scaler, shown, targets = _scaled(table, inputs, labels)
    models = [_models(case) for case in cases]
    seen = [own for case, own in zip(cases, columns, strict=True) for _ in case.seeds]
    fit_many([model for of_case in models for model in of_case], shown, targets, seen, weights)
    return _ensembles(cases, columns, models, scaler, Units.of(table))


@dataclass(frozen=True, eq=False)
class Sums:
    """What a `SummedModel` needs of its train rows.

    Attributes:
        scaler: of the rows.
        units: of the rows.
        of_rows: the model's sums over the scaled rows.
    """

    scaler: Scaler | None
    units: Units | None
    of_rows: Any


def sums_of(case: TestCase, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> Sums:
    """The sums over raw windows (n, lags, f), for `fit_ensembles_by_sums`; the other arguments are as there."""
    scaler, shown, targets = _scaled(case, inputs, labels)
    return Sums(scaler, Units.of(case), cast(SummedModel, _models(case)[0]).sums(shown, targets, weights))


def fit_ensembles_by_sums(cases: Sequence[TestCase], columns: Sequence[Columns], sums: Sums) -> Ensembles:
    """`fit_ensembles` for a `SummedModel`, from the sums over the train rows."""
    models = [_models(case) for case in cases]
    seen = [own for case, own in zip(cases, columns, strict=True) for _ in case.seeds]
    cast(SummedModel, models[0][0]).fit_sums([model for of_case in models for model in of_case], seen, sums.of_rows)
    return _ensembles(cases, columns, models, sums.scaler, sums.units)


def _ensembles(
    cases: Sequence[TestCase],
    columns: Sequence[Columns],
    models: Sequence[list[Model]],
    scaler: Scaler | None,
    units: Units | None,
) -> Ensembles:
    each = [
        _ensemble(case, scaler and scaler.of_columns(own), of_case)
        for case, own, of_case in zip(cases, columns, models, strict=True)
    ]
    return Ensembles(each, columns, scaler, units)


def _scaled(case: TestCase, inputs: Inputs, labels: Floats) -> tuple[Scaler | None, Inputs, Floats]:
    """The scaler of raw windows, and windows and labels as the models of a case learn from them."""
    if MODELS[case.model].inputs != "features":
        return None, inputs, np.asarray(labels)
    units = Units.of(case)
    ratios = inputs if units is None else units.ratios(inputs)
    scaler = Scaler.of(ratios)
    return scaler, scaler.transform(ratios), np.asarray(labels if units is None else labels / units.sizes(inputs))


def _models(case: TestCase) -> list[Model]:
    return [MODELS[case.model].build(case.params, seed) for seed in case.seeds]


def _ensemble(case: TestCase, scaler: Scaler | None, models: Sequence[Model]) -> Ensemble:
    members = tuple(Member(scaler, model, TARGETS[case.target], Units.of(case)) for model in models)
    return Ensemble(members, keeps_close=case.keeps_close)
