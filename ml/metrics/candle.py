"""The scorer of a candle's high, low and close: the only kind that is promoted and served."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml.data.datasets import Dataset
from ml.data.targets import CLOSE, HIGH, LOW, Floats, Target
from ml.metrics.baselines import BASELINES, BASELINES_OF, Baselines
from ml.metrics.conformal import BandScores, KnownScores, expected_range, groups_of
from ml.metrics.intervals import (
    BAND_LEVEL,
    BAND_LEVELS,
    SCORE_WINDOW,
    interval_labels,
    interval_metrics,
    nonconformity_scores,
    rolling_quantiles,
)
from ml.metrics.numbers import NumbersScorer, own_and_rivals
from ml.metrics.prices import direction_net_pct, skill
from ml.metrics.running import Whole
from ml.metrics.scorer import Predictions, Rows
from ml.records import LabelMetrics


class CandleScorer(NumbersScorer):
    """Scores high, low, close and their prediction interval against `ml.metrics.baselines`.

    Attributes:
        baselines: those that compete in this version of the evaluation.
        scale: (n,) EWMA range in log units.
    """

    rivals = BASELINES
    tail_length = SCORE_WINDOW

    def __init__(self, target: Target, dataset: Dataset, labels: Floats, evaluation: int = 1) -> None:
        super().__init__(target, dataset, labels)
        self.baselines = BASELINES_OF[evaluation]
        self.evaluation = evaluation
        self._target_open_ms = np.asarray(dataset.open_time_ms) + target.horizon * dataset.timeframe_ms
        candles = np.asarray(dataset.candles)
        self._all = Baselines(candles, labels, dataset.open_time_ms, dataset.timeframe_ms, target.horizon)
        self.scale: Floats = self._all.scale
        self._actual = np.exp(labels)

    @cached_property
    def _groups(self) -> Whole:
        """(n,) see `groups_of`."""
        return groups_of(self._target_open_ms, self._all.timeframe_ms)

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
            "direction_net_pct": direction_net_pct(own.forecast[:, CLOSE], self.labels[predictions.rows, CLOSE]),
            "rmse_high_pct": ours[HIGH],
            "rmse_low_pct": ours[LOW],
            "rmse_close_pct": ours[CLOSE],
            **{f"skill_{name}": own.skill_against(rival) for name, rival in against.items()},
            "skill_high": skill(ours[HIGH], theirs[HIGH]),
            "skill_low": skill(ours[LOW], theirs[LOW]),
            "skill_close": skill(ours[CLOSE], theirs[CLOSE]),
        }

    def band_scale(self, predicted: Floats, rows: Rows) -> Floats:
        """Scale (m,) of the intervals of predictions (m, 3) for rows, in log units."""
        return self.scale[rows] if self.evaluation == 1 else expected_range(predicted, self.scale[rows])

    def band_scores(self, predicted: Floats, rows: Rows) -> BandScores:
        """Nonconformity scores of predictions (m, 3) for rows."""
        scores = nonconformity_scores(predicted, self.labels[rows], self.band_scale(predicted, rows))
        return BandScores(scores, None if self.evaluation == 1 else self._target_open_ms[rows])

    def covered(self, predictions: Predictions, level: float = BAND_LEVEL) -> Floats:
        """(m,) 1 where the interval contains the candle, 0 where it does not; NaN without an interval."""
        scale = self.band_scale(predictions.predicted, predictions.rows)
        intervals = interval_labels(predictions.predicted, self._band_quantiles(predictions)(level), scale)
        actual = self.labels[predictions.rows]
        inside = (actual[:, LOW] >= intervals[:, 0]) & (actual[:, HIGH] <= intervals[:, 1])
        return np.where(np.isfinite(intervals).all(axis=1), inside, np.nan)

    def _band_quantiles(self, predictions: Predictions) -> Callable[[float], Floats]:
        """Level -> the quantile (m,) for each predicted row, of the scores known before it."""
        earlier = self.band_scores(predictions.tail_predicted, predictions.tail_rows).values
        scores = self.band_scores(predictions.predicted, predictions.rows).values
        horizon = self.target.horizon
        if self.evaluation == 1:
            return lambda level: rolling_quantiles(earlier, scores, level, horizon)
        groups = self._groups[np.concatenate([predictions.tail_rows, predictions.rows])]
        known = KnownScores(np.concatenate([earlier, scores]), groups, horizon)
        return lambda level: known.quantiles(level)[len(earlier) :]

    def _band_figures(self, predictions: Predictions) -> dict[str, float]:
        """Metrics of the intervals; those of levels other than the main one have the level in their name."""
        predicted, actual = predictions.predicted, self.labels[predictions.rows]
        quantile_of, scale = self._band_quantiles(predictions), self.band_scale(predicted, predictions.rows)
        figures: dict[str, float] = {}
        for level in BAND_LEVELS:
            intervals = interval_labels(predicted, quantile_of(level), scale)
            coverage, pinball, winkler = interval_metrics(intervals, actual, level)
            if level == BAND_LEVEL:
                figures |= {"pinball_pct": pinball, "band_coverage": coverage, "winkler_pct": winkler}
            else:
                percent = round(100 * level)
                figures |= {f"band_coverage_{percent}": coverage, f"winkler_{percent}_pct": winkler}
        return figures

    def by_label(self, predictions: Predictions, baseline: str) -> list[LabelMetrics]:
        return []  # high, low and close have metrics of their own in `by_name`
