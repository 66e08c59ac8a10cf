"""Baselines: forecasts that need no model. The worth of a model is its gain over the best of them.

- last_candle: the next candle repeats the last one's high and low.
- mean_range: last close, with the mean rise and fall of the train rows.
- drift: the same, and the close moves by the mean move of the train rows (Hyndman & Athanasopoulos, Forecasting, 5.2).
- ewma_range: last close, with an exponentially weighted mean of the latest rises and falls (span 6).
- pooled_range: last close, with the exponentially weighted mean (span 6) of the ranges ln(high / low), times one factor
  for the high and one for the low, least squares on the train rows.
- har_range: last close, with a regression of high and low on the means of the range over the last candle, day, week and
  month, least squares on the train rows (Corsi, A Simple Approximate Long-Memory Model of Realized Volatility, 2009).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.targets import CLOSE, HIGH, LOW, Floats, coherent
from ml.timeframes import DAY_MS

REGRESSIONS = ("pooled_range", "har_range")
BASELINES = ("last_candle", "mean_range", "drift", "ewma_range", *REGRESSIONS)
#: Version of the evaluation -> the baselines that compete: the best on the train rows is the baseline of a case.
#: Its skill against each of `BASELINES` is computed in every version.
BASELINES_OF = {1: BASELINES[:4], 2: BASELINES}
EWMA_SPAN = 6
#: Windows of har_range in candles where a day has at least 24, else in days.
HAR_CANDLES, HAR_DAYS = (1, 24, 168, 720), (1, 7, 30)
#: Share of a window whose candles must be known.
MINIMAL_SHARE = 1 / 24

Rows = npt.NDArray[np.int64]


def ewma_of_known_labels(labels: Floats, span: int = EWMA_SPAN, horizon: int = 1) -> Floats:
    """Exponentially weighted mean of the labels that are known at each row.

    The label of row t describes candle t + horizon, so the labels up to row t - horizon are known at row t.

    Args:
        labels: (n, 3), NaN where unknown.

    Returns:
        (n, 3); the first row, and rows before any label is known, are NaN.

    Source: J.P. Morgan, RiskMetrics Technical Document (1996), with alpha = 2 / (span + 1).
    """
    smooth = pd.DataFrame(labels).ewm(span=span, adjust=False, ignore_na=True).mean()
    return smooth.shift(horizon).to_numpy()


def last_candle_labels(candles: Floats) -> Floats:
    """(n, 3) labels of the baseline last_candle for candles (n, 5)."""
    close = candles[:, 3]
    return np.stack([np.log(candles[:, 1] / close), np.log(candles[:, 2] / close), np.zeros(len(candles))], axis=1)


def har_windows(timeframe_ms: int) -> tuple[int, ...]:
    """Windows of har_range in candles, ascending.

    >>> har_windows(4 * 3_600_000)
    (1, 6, 42, 180)
    """
    of_days = (days * DAY_MS // timeframe_ms for days in HAR_DAYS)
    windows = HAR_CANDLES if DAY_MS // timeframe_ms >= 24 else (1, *of_days)
    return tuple(sorted({max(window, 1) for window in windows}))


@dataclass(frozen=True, eq=False)
class Baselines:
    """The forecasts of all baselines for the rows of one series.

    Attributes:
        candles: (n, 5) open high low close volume; missing candles have no row.
        labels: (n, 3), of which each row uses only those known before it; NaN where unknown.
        open_time_ms: (n,) milliseconds since 1970-01-01 UTC.
        timeframe_ms: length of a candle.
        horizon: candles from a row to the candle that its label describes.
    """

    candles: Floats
    labels: Floats
    open_time_ms: npt.NDArray[np.int64]
    timeframe_ms: int
    horizon: int = 1

    @cached_property
    def ewma(self) -> Floats:
        """(n, 3) see `ewma_of_known_labels`."""
        return ewma_of_known_labels(self.labels, horizon=self.horizon)

    @cached_property
    def scale(self) -> Floats:
        """(n,) EWMA range in log units."""
        scale: Floats = self.ewma[:, HIGH] - self.ewma[:, LOW]
        return scale

    @cached_property
    def pooled_inputs(self) -> Floats:
        """(n, 1) exponentially weighted mean of ln(high / low) up to each row."""
        return self.ranges.ewm(span=EWMA_SPAN, adjust=False).mean().to_numpy()[:, None]

    @cached_property
    def har_inputs(self) -> Floats:
        """(n, 5) means of ln(high / low) over the windows, and 1; NaN where too little of a window is known."""
        columns = [
            self.ranges.rolling(
                pd.Timedelta(milliseconds=window * self.timeframe_ms), min_periods=max(1, int(window * MINIMAL_SHARE))
            ).mean()
            for window in har_windows(self.timeframe_ms)
        ]
        return np.column_stack([*columns, np.ones(len(self.candles))])

    @cached_property
    def ranges(self) -> pd.Series:
        """(n,) ln(high / low) at the open times."""
        times = pd.to_datetime(np.asarray(self.open_time_ms), unit="ms")
        return pd.Series(np.log(self.candles[:, 1] / self.candles[:, 2]), index=times)

    def known_by(self, names: Collection[str]) -> npt.NDArray[np.bool_]:
        """(n,) rows for which all of these baselines have a forecast, and with a scale."""
        known: npt.NDArray[np.bool_] = np.isfinite(self.scale) & (np.nan_to_num(self.scale) > 0)
        for name in set(names).intersection(REGRESSIONS):
            known &= np.isfinite(self._inputs(name)).all(axis=1)
        return known

    def forecast(self, name: str, rows: Rows, train: Rows) -> Floats:
        """A baseline's forecast.

        Args:
            name: one of `BASELINES`.
            rows: (m,) to forecast.
            train: rows with known labels that it may be fitted on.

        Returns:
            (m, 3) labels; the close is the last close (0), except for drift. NaN where a regression lacks the past.
        """
        forecast = np.zeros((len(rows), 3))
        if name == "last_candle":
            forecast = last_candle_labels(self.candles[rows])
        elif name == "mean_range":
            forecast[:] = self.labels[train].mean(axis=0)
            forecast[:, CLOSE] = 0.0
        elif name == "drift":
            forecast[:] = self.labels[train].mean(axis=0)
        elif name == "ewma_range":
            forecast[:] = self.ewma[rows]
            forecast[:, CLOSE] = 0.0
        elif name in REGRESSIONS:
            forecast[:, [HIGH, LOW]] = self._regression(self._inputs(name), rows, train)
        else:
            raise ValueError(f"unknown baseline {name!r}; one of {', '.join(BASELINES)}")
        return coherent(forecast) if name in REGRESSIONS else forecast

    def _inputs(self, regression: str) -> Floats:
        return self.har_inputs if regression == "har_range" else self.pooled_inputs

    def _regression(self, inputs: Floats, rows: Rows, train: Rows) -> Floats:
        """(m, 2) least squares of high and low on the inputs, fitted on the train rows where they are known."""
        learnt = train[np.isfinite(inputs[train]).all(axis=1)]
        if not len(learnt):
            return np.full((len(rows), 2), np.nan)
        weights = np.linalg.lstsq(inputs[learnt], self.labels[learnt][:, [HIGH, LOW]], rcond=None)[0]
        predicted: Floats = inputs[rows] @ weights
        return predicted
