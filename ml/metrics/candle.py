"""The scorer of a candle's high, low and close: the only kind that is promoted and served."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.data.datasets import Dataset
from ml.data.targets import CLOSE, HIGH, LOW, Floats, Target
from ml.metrics.baselines import BASELINES, TRAINED, baseline_labels, ewma_of_known_labels
from ml.metrics.intervals import (
    SCORE_WINDOW,
    interval_labels,
    interval_metrics,
    nonconformity_scores,
    rolling_quantiles,
)
from ml.metrics.numbers import NumbersScorer
from ml.metrics.prices import relative_errors, rmse_pct, skill
from ml.metrics.scorer import Predictions, Rows
from ml.records import LabelMetrics


class CandleScorer(NumbersScorer):
    """Scores high, low, close and their prediction interval against `ml.metrics.baselines`.

    Attributes:
        scale: (n,) EWMA range in log units, the scale of the prediction interval.
    """

    baselines = BASELINES
    tail_length = SCORE_WINDOW

    def __init__(self, target: Target, dataset: Dataset, labels: Floats) -> None:
        super().__init__(target, dataset, labels)
        smooth = ewma_of_known_labels(labels, horizon=target.horizon)
        self.scale: Floats = smooth[:, HIGH] - smooth[:, LOW]
        no_mean = np.full(labels.shape[1], np.nan)
        self.untrained = {
            name: baseline_labels(name, dataset.candles, labels, no_mean, target.horizon)
            for name in BASELINES
            if name not in TRAINED
        }

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = np.isfinite(self.scale) & (np.nan_to_num(self.scale) > 0)
        return known

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        if baseline in self.untrained:
            return self.untrained[baseline][rows]
        mean = self.labels[train].mean(axis=0)
        return baseline_labels(baseline, self.candles[rows], self.labels[rows], mean, self.target.horizon)

    def errors(self, predicted: Floats, rows: Rows) -> Floats:
        return relative_errors(predicted, self.labels[rows])

    def by_name(self, predictions: Predictions, baseline: str) -> dict[str, float]:
        rows = predictions.rows
        errors = self.errors(predictions.predicted, rows)
        against = {name: self.errors(forecast, rows) for name, forecast in predictions.against.items()}

        def label_skill(label: int) -> float:
            return skill(rmse_pct(errors[:, label]), rmse_pct(against[baseline][:, label]))

        return {
            **super().by_name(predictions, baseline),
            **self._band_figures(predictions),
            "rmse_high_pct": rmse_pct(errors[:, HIGH]),
            "rmse_low_pct": rmse_pct(errors[:, LOW]),
            "rmse_close_pct": rmse_pct(errors[:, CLOSE]),
            "skill_mean_range": skill(rmse_pct(errors), rmse_pct(against["mean_range"])),
            "skill_last_candle": skill(rmse_pct(errors), rmse_pct(against["last_candle"])),
            "skill_high": label_skill(HIGH),
            "skill_low": label_skill(LOW),
            "skill_close": label_skill(CLOSE),
        }

    def _band_figures(self, predictions: Predictions) -> dict[str, float]:
        rows, tail = predictions.rows, predictions.tail_rows
        actual, scale = self.labels[rows], self.scale[rows]
        earlier = nonconformity_scores(predictions.tail_predicted, self.labels[tail], self.scale[tail])
        scores = nonconformity_scores(predictions.predicted, actual, scale)
        quantiles = rolling_quantiles(earlier, scores, horizon=self.target.horizon)
        coverage, pinball = interval_metrics(interval_labels(predictions.predicted, quantiles, scale), actual)
        return {"pinball_pct": pinball, "band_coverage": coverage}

    def by_label(self, predictions: Predictions, baseline: str) -> list[LabelMetrics]:
        return []  # high, low and close have metrics of their own in `by_name`
