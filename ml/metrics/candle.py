"""The scorer of a candle's high, low and close: the only kind that is promoted and served."""

from __future__ import annotations

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
from ml.metrics.numbers import NumbersScorer, own_and_rivals
from ml.metrics.prices import skill
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
        self._actual = np.exp(labels)

    @property
    def baselines_known(self) -> npt.NDArray[np.bool_]:
        return self._all.known_by(self.baselines)

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        return self._all.forecast(baseline, rows, train)

    def errors(self, predicted: Floats, rows: Rows) -> Floats:
        errors: Floats = np.exp(predicted) - self._actual[rows]
        return errors

    def by_name(self, predictions: Predictions, baseline: str) -> dict[str, float]:
        own, against = own_and_rivals(predictions)
        ours, theirs = own.label_errors, against[baseline].label_errors
        return {
            **super().by_name(predictions, baseline),
            **self._band_figures(predictions),
            "rmse_high_pct": ours[HIGH],
            "rmse_low_pct": ours[LOW],
            "rmse_close_pct": ours[CLOSE],
            **{f"skill_{name}": own.skill_against(rival) for name, rival in against.items()},
            "skill_high": skill(ours[HIGH], theirs[HIGH]),
            "skill_low": skill(ours[LOW], theirs[LOW]),
            "skill_close": skill(ours[CLOSE], theirs[CLOSE]),
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
