"""Forecasts: a valid candle, with a prediction interval that contains its open, by the champion or the baseline."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.targets import coherent
from ml.errors import PredictionError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.forecast import baseline_scores, forecast_candle
from ml.forecasting.history import History
from ml.metrics.baselines import BASELINES, Baselines, ewma_of_known_labels
from ml.metrics.conformal import BandScores, expected_range, groups_of, quantiles_before
from ml.metrics.intervals import nonconformity_scores
from ml.models.base import Floats, Inputs
from ml.records import CandleForecast
from ml.timeframes import DAY_MS
from tests.synthetic import HOUR_MS, make_case, make_dataset

WINDOW = np.zeros((1, 1, 2), np.float32)


class Speaker(Ensemble):
    """A champion that says what it is told to."""

    def __init__(self, high: float, low: float, close: float) -> None:
        object.__setattr__(self, "labels", np.array([[high, low, close]]))

    def predict(self, inputs: Inputs) -> Floats:
        return coherent(self.labels)  # type: ignore[attr-defined]


def without_times(scores: Floats) -> BandScores:
    """Scores of a model saved by an earlier version."""
    return BandScores(scores, None)


def history(candles: Floats, labels: Floats) -> History:
    """Hourly candles without a gap."""
    return History(candles, labels, np.arange(len(candles), dtype=np.int64) * HOUR_MS, HOUR_MS)


def recent(rows: int = 300, seed: int = 1) -> History:
    dataset = make_dataset(rows, seed)
    return history(dataset.candles, dataset.labels)


def is_coherent(candle: CandleForecast) -> bool:
    rivals = candle["rivals"].values()
    return (
        0 < candle["low"] <= min(candle["open"], candle["close"])
        and max(candle["open"], candle["close"]) <= candle["high"]
        and candle["band_low"] <= candle["open"] <= candle["band_high"]
        and candle["baseline_low"] <= min(candle["open"], candle["baseline_close"])
        and max(candle["open"], candle["baseline_close"]) <= candle["baseline_high"]
        and all(low <= min(candle["open"], close) <= max(candle["open"], close) <= high for high, low, close in rivals)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10),
    st.sampled_from(BASELINES),
    st.none() | st.tuples(*[st.floats(-1, 1)] * 3),
    st.floats(-2, 2),
)
def test_every_forecast_is_a_candle_whose_interval_contains_its_open(
    seed: int, baseline: str, labels: tuple[float, float, float] | None, score: float
) -> None:
    champion = None if labels is None else Speaker(*labels)
    candle = forecast_candle(recent(120, seed), baseline, champion, WINDOW, without_times(np.full(60, score)))
    assert is_coherent(candle)
    assert candle["open"] == recent(120, seed).candles[-1, 3]


@pytest.mark.parametrize("name", BASELINES)
def test_without_a_champion_the_baseline_of_the_last_row_is_served(name: str) -> None:
    past = recent()
    candle = forecast_candle(past, name)
    rows = np.arange(len(past.labels))
    all_of_them = Baselines(past.candles, past.labels, past.open_time_ms, past.timeframe_ms)
    high, low, close = all_of_them.forecast(name, rows[-1:], rows[:-1])[0]
    last_close = past.candles[-1, 3]
    served = (candle["high"], candle["low"], candle["close"])
    assert served == pytest.approx([last_close * math.exp(label) for label in (high, low, close)], rel=1e-12)
    assert served == (candle["baseline_high"], candle["baseline_low"], candle["baseline_close"])


def test_the_ewma_baseline_by_hand() -> None:
    # 60 candles that rise 2 % and fall 1 % within, then one that rises 9 % and falls 4.5 %: 2/7 of the way there.
    labels = np.tile([0.02, -0.01, 0.0], (62, 1))
    labels[60] = [0.09, -0.045, 0.0]
    labels[61] = np.nan
    candles = np.tile([100.0, 102.0, 99.0, 100.0, 1.0], (62, 1))
    candle = forecast_candle(history(candles, labels), "ewma_range")
    assert candle["high"] == pytest.approx(100 * math.exp(0.02 + 2 / 7 * 0.07))
    assert candle["low"] == pytest.approx(100 * math.exp(-0.01 - 2 / 7 * 0.035))
    assert candle["scale"] == pytest.approx(0.03 + 2 / 7 * 0.105)
    # All 60 scores with a scale but one are 0: the interval is the forecast itself.
    assert (candle["band_high"], candle["band_low"]) == pytest.approx((candle["high"], candle["low"]))


def test_the_champion_has_its_own_nonconformity_scores_and_the_baseline_is_stored_too() -> None:
    past = recent()
    candle = forecast_candle(past, "ewma_range", Speaker(0.03, -0.02, 0.01), WINDOW, without_times(np.full(60, 0.5)))
    close = past.candles[-1, 3]
    smooth = ewma_of_known_labels(past.labels)[-1]
    scale = smooth[0] - smooth[1]
    expected = [0.03, -0.02, 0.01, 0.03 + 0.5 * scale, -0.02 - 0.5 * scale, smooth[0], smooth[1]]
    figures = (candle["high"], candle["low"], candle["close"], candle["band_high"], candle["band_low"])
    figures += (candle["baseline_high"], candle["baseline_low"])
    assert figures == pytest.approx([close * math.exp(label) for label in expected], rel=1e-12)
    assert (candle["band_level"], candle["scale"]) == (0.8, pytest.approx(scale))


def test_with_too_few_scores_of_its_own_the_champion_borrows_the_baselines() -> None:
    past = recent()
    champion = Speaker(0.03, -0.02, 0.01)
    few, none = (
        forecast_candle(past, "ewma_range", champion, WINDOW, scores)
        for scores in (without_times(np.full(49, 9.0)), None)
    )
    assert few == none
    assert few["scale"] == pytest.approx(0.05)
    borrowed = baseline_scores(past, "ewma_range").next_quantile(len(past.candles) * HOUR_MS, HOUR_MS, 0.8)
    width = borrowed * few["scale"]
    assert few["band_high"] == pytest.approx(few["open"] * math.exp(0.03 + width))


def test_the_baselines_scores_use_only_rows_whose_truth_is_known() -> None:
    past = recent(100)
    labels = past.labels.copy()
    labels[40] = np.nan
    scores = baseline_scores(history(past.candles, labels), "ewma_range")
    smooth = ewma_of_known_labels(labels)
    # Row 0 knows no label, row 40 and the last one have no next candle.
    rows = [row for row in range(1, 99) if row != 40]
    forecast = coherent(smooth[rows] * [1, 1, 0])
    scale = expected_range(forecast, smooth[rows, 0] - smooth[rows, 1])
    np.testing.assert_allclose(scores.values, nonconformity_scores(forecast, labels[rows], scale))
    assert scores.target_open_ms.tolist() == [(row + 1) * HOUR_MS for row in rows]


@pytest.mark.parametrize("missing", [0, 2])
def test_a_champion_is_served_with_the_quantile_of_the_hour_in_units_of_its_own_range(missing: int) -> None:
    past = replace(recent(), missing=missing)
    # Scores of the 290 hours before the next one: 1 in the hour of the day that is forecast, else 0.
    opens_ms = (300 + missing) * HOUR_MS
    times = opens_ms - np.arange(290, 0, -1) * HOUR_MS
    scores = BandScores(np.where(times // HOUR_MS % 24 == opens_ms // HOUR_MS % 24, 1.0, 0.0), times)
    candle = forecast_candle(past, "ewma_range", Speaker(0.03, -0.02, 0.01), WINDOW, scores)
    assert candle["scale"] == pytest.approx(0.05 * math.sqrt(1 + missing))
    groups = groups_of(np.append(times, opens_ms), HOUR_MS)
    evaluated = quantiles_before(np.append(scores.values, 0.0), groups, 0.8)[-1]
    assert 0 < evaluated < 1  # shrunk to the common one, 0
    assert candle["band_high"] == pytest.approx(candle["open"] * math.exp(0.03 + evaluated * candle["scale"]))


def test_a_refused_prediction_reaches_the_caller() -> None:
    _, prepared, ensemble = fit_and_evaluate(make_case(), make_dataset(1000))
    window = prepared.windows_at(np.array([900])) * np.float32(np.nan)
    with pytest.raises(PredictionError, match="NaN"):
        forecast_candle(recent(), "ewma_range", ensemble, window)


def test_intervals_of_higher_levels_contain_those_of_lower_ones_and_the_middle_one_is_the_main_one() -> None:
    past = recent()
    candle = forecast_candle(past, "ewma_range", Speaker(0.03, -0.02, 0.01), WINDOW, without_times(np.arange(100.0)))
    intervals = candle["bands"]
    assert list(intervals) == ["0.5", "0.8", "0.95"]
    assert intervals["0.8"] == [candle["band_low"], candle["band_high"]]
    # Of the scores 0..99 the ceil(101 x level)-th smallest: 51st, 81st and 96th.
    for level, score in (("0.5", 50), ("0.8", 80), ("0.95", 95)):
        edges = [
            candle["open"] * math.exp(-0.02 - score * candle["scale"]),
            candle["open"] * math.exp(0.03 + score * candle["scale"]),
        ]
        assert intervals[level] == pytest.approx(edges)


def test_every_baseline_is_a_rival_with_what_it_would_have_said() -> None:
    past = recent()
    candle = forecast_candle(past, "mean_range", Speaker(0.03, -0.02, 0.01), WINDOW)
    assert tuple(candle["rivals"]) == BASELINES
    assert candle["rivals"]["mean_range"] == [candle["baseline_high"], candle["baseline_low"], candle["baseline_close"]]
    for name, said in candle["rivals"].items():
        served = forecast_candle(past, name)
        assert said == [served["high"], served["low"], served["close"]]


@pytest.mark.parametrize("rows", [1, 2, 51])
def test_a_series_that_is_too_young_gets_no_forecast(rows: int) -> None:
    past = recent()
    young = history(past.candles[:rows], np.vstack([past.labels[: rows - 1], np.full((1, 3), np.nan)]))
    with pytest.raises(ValueError, match="are too few, 50 are needed"):
        forecast_candle(young, "mean_range")


def test_a_rival_that_lacks_the_past_is_left_out() -> None:
    past = recent(60)
    # A month ago there was no candle: less than a 24th of its window is known.
    since = np.where(np.arange(60) < 55, 0, 60 * DAY_MS)
    young = replace(past, open_time_ms=past.open_time_ms + since)
    assert tuple(forecast_candle(young, "ewma_range")["rivals"]) == tuple(
        name for name in BASELINES if name != "har_range"
    )


def test_the_interval_covers_about_80_percent_of_the_candles() -> None:
    dataset = make_dataset(900, seed=5)
    covered = 0
    for end in range(400, 900):
        labels = dataset.labels[end - 300 : end].copy()
        labels[-1] = np.nan
        candle = forecast_candle(history(dataset.candles[end - 300 : end], labels), "ewma_range")
        high, low = dataset.candles[end, 1:3]
        # The synthetic opens are the last closes.
        covered += candle["band_low"] <= low and high <= candle["band_high"]
    # 500 candles: the standard error of the share is 1.8 %.
    assert covered / 500 == pytest.approx(0.8, abs=0.05)
