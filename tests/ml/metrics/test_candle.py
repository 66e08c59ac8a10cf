"""The prediction interval of the scorer of candles, in both versions of the evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from ml.data.targets import NEXT_CANDLE, TARGETS
from ml.metrics.candle import CandleScorer
from ml.metrics.intervals import interval_labels, interval_metrics, nonconformity_scores, rolling_quantiles
from ml.metrics.scorer import Predictions
from tests.synthetic import make_dataset

DATASET = make_dataset(3000)
TAIL, ROWS = np.arange(800, 1800), np.arange(1800, 1900)


def scorer(evaluation: int) -> CandleScorer:
    return CandleScorer(TARGETS[NEXT_CANDLE], DATASET, DATASET.labels_of(NEXT_CANDLE), evaluation)


def predictions() -> Predictions:
    first = scorer(1)
    forecast = first.forecast("ewma_range", np.concatenate([TAIL, ROWS]), TAIL)
    own = first.scored(ROWS, forecast[1000:])
    return Predictions(own, {"ewma_range": own}, TAIL, forecast[:1000])


def test_the_first_version_has_the_common_quantile_in_units_of_the_ewma_range() -> None:
    first, made = scorer(1), predictions()
    scores = nonconformity_scores(made.predicted, first.labels[ROWS], first.scale[ROWS])
    before = nonconformity_scores(made.tail_predicted, first.labels[TAIL], first.scale[TAIL])
    intervals = interval_labels(made.predicted, rolling_quantiles(before, scores), first.scale[ROWS])
    coverage, pinball, winkler = interval_metrics(intervals, first.labels[ROWS])
    figures = first.figures(made, "ewma_range")[0]
    assert (figures["band_coverage"], figures["pinball_pct"], figures["winkler_pct"]) == (coverage, pinball, winkler)


def test_the_second_version_evaluates_the_interval_that_is_served() -> None:
    second, made = scorer(2), predictions()
    all_rows, predicted = np.concatenate([TAIL, ROWS]), np.concatenate([made.tail_predicted, made.predicted])
    times = DATASET.open_time_ms[ROWS] + DATASET.timeframe_ms
    for level, coverage in ((0.5, "band_coverage_50"), (0.8, "band_coverage"), (0.95, "band_coverage_95")):
        inside = 0
        for place in range(len(ROWS)):
            known = second.band_scores(predicted[: 1000 + place], all_rows[: 1000 + place])
            quantile = known.next_quantile(int(times[place]), DATASET.timeframe_ms, level)
            one = made.predicted[place : place + 1]
            low, high = interval_labels(one, quantile, second.band_scale(one, ROWS[place : place + 1]))[0]
            truth = second.labels[ROWS[place]]
            inside += bool(truth[1] >= low and truth[0] <= high)
        assert second.figures(made, "ewma_range")[0][coverage] == pytest.approx(inside / len(ROWS))
