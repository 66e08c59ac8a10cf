"""The scorer of a candle's high, low and close: the only kind that is promoted and served."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ml.data.datasets import Dataset
from ml.data.targets import CLOSE, HIGH, LOW, Floats, Target
from ml.metrics.baselines import BASELINES, BASELINES_OF, Baselines
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
        baselines: those that compete in this version of the evaluation.
        scale: (n,) EWMA range in log units, the scale of the prediction interval.
    """

    rivals = BASELINES
    tail_length = SCORE_WINDOW

    def __init__(self, target: Target, dataset: Dataset, labels: Floats, evaluation: int = 1) -> None:
        super().__init__(target, dataset, labels)
        self.baselines = BASELINES_OF[evaluation]
        candles = np.asarray(dataset.candles)
        self._all = Baselines(candles, labels, dataset.open_time_ms, dataset.timeframe_ms, target.horizon)
        self.scale: Floats = self._all.scale

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        return self._all.known_by(self.baselines)

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        return self._all.forecast(baseline, rows, train)

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
            **{f"skill_{name}": _skill_where_known(errors, theirs) for name, theirs in against.items()},
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


def _skill_where_known(errors: Floats, theirs: Floats) -> float:
    """Skill on the rows (n,) that the rival can forecast; NaN if there is none."""
    known = np.isfinite(theirs).all(axis=1)
    return skill(rmse_pct(errors[known]), rmse_pct(theirs[known])) if known.any() else math.nan
