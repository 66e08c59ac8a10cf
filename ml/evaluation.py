"""Evaluation of one test case on one dataset, by the protocol that does not fool its owner.

Train rows fit scaler and model; validation rows, later in time and behind a purge, give every figure that ranks a
case. The holdout is not read by `evaluate`: only promotion opens it. The baseline that a case has to beat is the one
that was best on the train rows, so that the choice itself cannot profit from the rows it is judged on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.bands import SCORE_WINDOW, band_labels, band_metrics, conformity_scores, rolling_quantiles
from ml.baselines import BASELINES, baseline_labels, ewma_of_known_labels
from ml.cases import TestCase
from ml.datasets import Dataset, windows
from ml.errors import CaseError
from ml.forecaster import Committee, fit_member
from ml.metrics import (
    daily_losses,
    direction_accuracy,
    exponentially_weighted_rmse,
    mae_pct,
    relative_errors,
    rmse_pct,
    rmse_quote,
    skill,
)
from ml.splits import Split, split_by_time
from ml.targets import CLOSE, HIGH, LOW, TARGETS, Floats

Rows = npt.NDArray[np.int64]
#: Fewer rows than this in a part say nothing.
MINIMAL_ROWS = 100


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A test case laid over a dataset.

    Attributes:
        inputs: (n - lags + 1, lags, f) view of the chosen feature columns; window i ends at row i + lags - 1.
        labels: (n, 3) of the case's target.
        horizon: candles from a row to the candle of its label.
        usable: (n,) rows whose window, label and baselines are all known.
        baselines: name -> (n, 3) labels.
        scale: (n,) EWMA range in log units, for the band.
        split: the parts in time.
    """

    case: TestCase
    dataset: Dataset
    inputs: npt.NDArray[np.float32]
    labels: Floats
    horizon: int
    usable: npt.NDArray[np.bool_]
    baselines: Mapping[str, Floats]
    scale: Floats
    split: Split

    def rows(self, part: str) -> Rows:
        """Usable rows of "train", "validation" or "holdout", in time order."""
        start, stop = getattr(self.split, part)
        rows: Rows = start + np.flatnonzero(self.usable[start:stop])
        return rows

    def windows_at(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Windows (len(rows), lags, f) that end at the given rows."""
        return np.ascontiguousarray(self.inputs[rows - self.case.lags + 1])


def prepare(case: TestCase, dataset: Dataset) -> PreparedCase:
    """Choose columns, find the usable rows and cut them by time.

    Raises:
        CaseError: a feature is not in the dataset, or too few rows are usable.
    """
    missing = [name for name in case.features if name not in dataset.columns]
    if missing:
        raise CaseError(f"Dataset {dataset.id} lacks {', '.join(missing)}. Run `candleworks export` again.")
    horizon = TARGETS[case.target].horizon
    split = split_by_time(
        len(dataset),
        train_fraction=case.train_fraction,
        validation_fraction=case.validation_fraction,
        horizon=horizon,
        lags=case.lags,
    )
    matrix = dataset.features[:, [dataset.columns.index(name) for name in case.features]]
    inputs = windows(matrix, case.lags)
    known = np.isfinite(matrix).all(axis=1)
    # A window is whole when none of its rows lies across a gap and all its features are known.
    window_known = np.lib.stride_tricks.sliding_window_view(known, case.lags).all(axis=1)
    usable = np.zeros(len(dataset), dtype=bool)
    usable[case.lags - 1 :] = window_known
    usable &= dataset.run_length >= case.lags
    labels = dataset.labels_of(case.target)
    usable &= np.isfinite(labels).all(axis=1)
    smooth = ewma_of_known_labels(labels, horizon=horizon)
    scale = smooth[:, HIGH] - smooth[:, LOW]
    usable &= np.isfinite(scale) & (np.nan_to_num(scale) > 0)
    start, stop = split.train
    train_rows = start + np.flatnonzero(usable[start:stop])
    if len(train_rows) < MINIMAL_ROWS:
        raise CaseError(
            f"Only {len(train_rows)} usable train rows for {case.series}, at least {MINIMAL_ROWS} are needed. "
            "Ingest more candles or switch off features with a long lookback."
        )
    train_mean = labels[train_rows].mean(axis=0)
    baselines = {name: baseline_labels(name, dataset.candles, labels, train_mean, horizon) for name in BASELINES}
    return PreparedCase(case, dataset, inputs, labels, horizon, usable, baselines, scale, split)


def best_baseline(prepared: PreparedCase) -> str:
    """Name of the baseline with the lowest RMSE on the train rows."""
    rows = prepared.rows("train")
    actual = prepared.labels[rows]
    return min(BASELINES, key=lambda name: rmse_pct(relative_errors(prepared.baselines[name][rows], actual)))


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's labels on the train tail and on the part that is judged, with everything to judge them."""

    rows: Rows
    predicted: Floats
    tail_scores: Floats


def predict_part(prepared: PreparedCase, committee: Committee, part: str, earlier: str) -> Predictions:
    """Predict `part`; the band starts from the conformity scores of the latest rows of the `earlier` part."""
    rows = prepared.rows(part)
    if len(rows) < MINIMAL_ROWS:
        raise CaseError(
            f"Only {len(rows)} usable {part} rows for {prepared.case.series}, at least {MINIMAL_ROWS} are needed. "
            "Ingest more candles or switch off features with a long lookback."
        )
    tail = prepared.rows(earlier)[-SCORE_WINDOW:]
    labels = prepared.labels
    tail_predicted = committee.predict(prepared.windows_at(tail))
    return Predictions(
        rows=rows,
        predicted=committee.predict(prepared.windows_at(rows)),
        tail_scores=conformity_scores(tail_predicted, labels[tail], prepared.scale[tail]),
    )


def judge(prepared: PreparedCase, predictions: Predictions, baseline: str) -> dict[str, float]:
    """All figures of one set of predictions, against every baseline on exactly the same rows."""
    rows, predicted = predictions.rows, predictions.predicted
    actual = np.asarray(prepared.labels[rows])
    close = np.asarray(prepared.dataset.candles[rows, 3])
    errors = relative_errors(predicted, actual)
    against = {name: relative_errors(prepared.baselines[name][rows], actual) for name in BASELINES}
    error = rmse_pct(errors)
    scale = prepared.scale[rows]
    scores = conformity_scores(predicted, actual, scale)
    quantiles = rolling_quantiles(predictions.tail_scores, scores, horizon=prepared.horizon)
    coverage, pinball = band_metrics(band_labels(predicted, quantiles, scale), actual)
    accuracy, accuracy_error = direction_accuracy(predicted, actual)

    def label_skill(label: int) -> float:
        return skill(rmse_pct(errors[:, label]), rmse_pct(against[baseline][:, label]))

    return {
        "rmse_pct": error,
        "rmse_quote": rmse_quote(errors, close),
        "mae_pct": mae_pct(errors),
        "rmse_high_pct": rmse_pct(errors[:, HIGH]),
        "rmse_low_pct": rmse_pct(errors[:, LOW]),
        "rmse_close_pct": rmse_pct(errors[:, CLOSE]),
        # Newest row first, so that it weighs most.
        "rmse_weighted_pct": 100 * exponentially_weighted_rmse(errors[::-1]),
        "pinball_pct": pinball,
        "band_coverage": coverage,
        "direction_accuracy": accuracy,
        "direction_se": accuracy_error,
        "baseline_rmse_pct": rmse_pct(against[baseline]),
        "skill": skill(error, rmse_pct(against[baseline])),
        "skill_mean_range": skill(error, rmse_pct(against["mean_range"])),
        "skill_last_candle": skill(error, rmse_pct(against["last_candle"])),
        "skill_high": label_skill(HIGH),
        "skill_low": label_skill(LOW),
        "skill_close": label_skill(CLOSE),
    }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A case's result on its validation rows: means over the seeds, and the aligned losses per day.

    Attributes:
        baseline: the baseline that was best on the train rows.
        metrics: name -> mean over seeds (see `judge`).
        per_seed: one dict of the same names a seed.
        days: days since 1970-01-01 of the forecast candles.
        losses: mean squared percentage error a day, mean over seeds.
        baseline_losses: the same of the baseline.
        spans: first and last row's open time of the parts, milliseconds.
    """

    baseline: str
    metrics: dict[str, float]
    per_seed: list[dict[str, float]]
    days: list[int]
    losses: list[float]
    baseline_losses: list[float]
    n_train: int
    n_validation: int
    spans: dict[str, int]


def _target_times(prepared: PreparedCase, rows: Rows) -> npt.NDArray[np.int64]:
    return np.asarray(prepared.dataset.open_time_ms[rows]) + prepared.horizon * prepared.dataset.timeframe_ms


def _mean_over_seeds(per_seed: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in per_seed])) for name in per_seed[0]}


def evaluate(case: TestCase, dataset: Dataset) -> Evaluation:
    """Fit on the train rows, judge on the validation rows; the holdout stays shut (see `fit_and_evaluate`)."""
    return fit_and_evaluate(case, dataset)[0]


def fit_and_evaluate(case: TestCase, dataset: Dataset) -> tuple[Evaluation, PreparedCase, Committee]:
    """Evaluate, and hand out the fitted committee for whoever may open the holdout.

    Raises:
        CaseError: the case cannot be laid over this dataset.
        PredictionError: the model's output is not usable.
    """
    prepared = prepare(case, dataset)
    baseline = best_baseline(prepared)
    train = prepared.rows("train")
    members = []
    per_seed: list[dict[str, float]] = []
    losses: list[list[float]] = []
    for seed in case.seeds:
        member = fit_member(case, seed, prepared.windows_at(train), prepared.labels[train])
        members.append(member)
        predictions = predict_part(prepared, Committee((member,)), "validation", earlier="train")
        per_seed.append(judge(prepared, predictions, baseline))
        rows = predictions.rows
        errors = relative_errors(predictions.predicted, prepared.labels[rows])
        days, loss = daily_losses(errors, _target_times(prepared, rows))
        losses.append(loss)
    metrics = _mean_over_seeds(per_seed)
    metrics["skill_seed_std"] = float(np.std([one["skill"] for one in per_seed]))
    baseline_errors = relative_errors(prepared.baselines[baseline][rows], prepared.labels[rows])
    _, baseline_loss = daily_losses(baseline_errors, _target_times(prepared, rows))
    evaluation = Evaluation(
        baseline=baseline,
        metrics=metrics,
        per_seed=per_seed,
        days=days,
        losses=[float(value) for value in np.mean(losses, axis=0)],
        baseline_losses=baseline_loss,
        n_train=len(train),
        n_validation=len(rows),
        spans={
            "train_start": int(dataset.open_time_ms[train[0]]),
            "train_end": int(dataset.open_time_ms[train[-1]]),
            "validation_start": int(dataset.open_time_ms[rows[0]]),
            "validation_end": int(dataset.open_time_ms[rows[-1]]),
        },
    )
    return evaluation, prepared, Committee(tuple(members))
