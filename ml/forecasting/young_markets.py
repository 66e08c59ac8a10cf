"""Forecasts of a market that is too young for a regression of its own: by one of all other markets, as if as young.

Each row of any market has the same inputs: its mean ranges over the last candle, 3, 6, 12 candles, day, week and month,
of which none reaches further back than the young market does, in units of the mean range of the last 6. With them goes
the usual range of the next candle's hour of the day, or weekday. Ratios of ranges hardly differ between markets, so
least squares over all others tell what follows such ranges in a market without a past.

Source: Bollerslev, Hood, Huss and Pedersen, Risk Everywhere: Modeling and Managing Volatility (2018), for the panel;
Corsi, A Simple Approximate Long-Memory Model of Realized Volatility (2009), for the means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.data.targets import HIGH, LOW, Floats, coherent
from ml.forecasting.history import History
from ml.metrics.conformal import KEPT_SCORES, BandScores, expected_range, hour_or_weekday
from ml.metrics.intervals import nonconformity_scores
from ml.metrics.running import Whole
from ml.timeframes import DAY_MS

#: Name of this forecaster among the baselines of a forecast.
ALL_MARKETS = "all_markets"
#: Windows of the means in candles and in days, and that of the unit in candles.
CANDLES, DAYS, UNIT = (1, 3, 6, 12), (1, 7, 30), 6
#: Fewest rows of the other markets to learn from.
MINIMAL_ROWS = 500
#: Penalty of the squared coefficients per row: in a young market the means are nearly the same column.
PENALTY = 1e-4


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows (m,) of a market with what a forecast of them needs.

    Attributes:
        history: the market.
        at: the rows.
        units: (m, 1) mean range of the latest candles.
        ratios: (m, f) mean ranges in units.
        part: (m,) hour of the day of the next candle, or its weekday.
    """

    history: History
    at: Whole
    units: Floats
    ratios: Floats
    part: Whole

    def take(self, places: Whole) -> _Rows:
        """Some of the rows."""
        return _Rows(self.history, self.at[places], self.units[places], self.ratios[places], self.part[places])


@dataclass(frozen=True, eq=False)
class YoungMarkets:
    """The regression of all other markets on ranges that reach `age` candles back.

    Attributes:
        others: the other markets, of the same timeframe.
        age: closed candles of the young market, at least 1.
    """

    others: Sequence[History]
    age: int

    def forecast(self, history: History) -> Floats | None:
        """Coherent labels (1, 3) of the candle after the last one; None if there is nothing to learn from or no range.

        Args:
            history: the young market.
        """
        last = self._rows(history, np.array([len(history.candles) - 1]))
        if sum(len(rows.at) for rows in self._learnt) < MINIMAL_ROWS or not len(last.at):
            return None
        return self._labels(last)

    @cached_property
    def scores(self) -> BandScores:
        """Nonconformity scores of the forecasts of the latest rows of the other markets, oldest first."""
        values, opens_ms = [], []
        for rows in self._learnt:
            history = rows.history
            latest = rows.take(np.flatnonzero(np.isfinite(history.scale[rows.at]))[-KEPT_SCORES:])
            labels = self._labels(latest)
            scale = expected_range(labels, history.scale[latest.at])
            values.append(nonconformity_scores(labels, history.labels[latest.at], scale))
            opens_ms.append(history.open_time_ms[latest.at] + history.timeframe_ms)
        times = np.concatenate(opens_ms)
        order = np.argsort(times, kind="stable")[-KEPT_SCORES:]
        return BandScores(np.concatenate(values)[order], times[order])

    @cached_property
    def _learnt(self) -> list[_Rows]:
        """The rows of each other market to learn from."""
        rows = (self._rows(history, history.learnt) for history in self.others)
        return [known for known in rows if len(known.at)]

    def _rows(self, history: History, among: Whole) -> _Rows:
        """Those of some rows whose means are known and whose unit is above 0."""
        day = DAY_MS // history.timeframe_ms
        reach = [min(window, self.age) for window in (*CANDLES, *(max(days * day, 1) for days in DAYS))]
        windows = sorted(set(reach))
        means = np.column_stack([history.ranges.rolling(window).mean().to_numpy()[among] for window in windows])
        units = means[:, [windows.index(min(UNIT, self.age))]]
        known = np.isfinite(means).all(axis=1) & (np.nan_to_num(units[:, 0]) > 0)
        at = among[known]
        part = hour_or_weekday(history.open_time_ms[at] + history.timeframe_ms, history.timeframe_ms)
        return _Rows(history, at, units[known], means[known] / units[known], part)

    @cached_property
    def _season(self) -> Floats:
        """Mean range of the next candle in units, by its hour of the day or weekday."""
        labels = [(rows.history.labels[rows.at], rows.units[:, 0]) for rows in self._learnt]
        every = np.concatenate([(label[:, HIGH] - label[:, LOW]) / units for label, units in labels])
        part = np.concatenate([rows.part for rows in self._learnt])
        sums, counts = np.bincount(part, every, 24), np.bincount(part, minlength=24)
        # Hours in which no candle opens are not asked for.
        return np.where(counts > 0, sums / np.maximum(counts, 1), every.mean())

    def _design(self, rows: _Rows) -> Floats:
        """(m, f + 2) inputs of the regression."""
        return np.column_stack([rows.ratios, self._season[rows.part], np.ones(len(rows.at))])

    @cached_property
    def _coefficients(self) -> Floats:
        """(f + 2, 2) of high and low, weighted like errors in log units over their scale, each market alike."""
        products, targets = [], []
        for rows in self._learnt:
            design = self._design(rows)
            weighted = (design * (rows.units / rows.units.mean())).T
            products.append(weighted @ design)
            targets.append(weighted @ (rows.history.labels[rows.at][:, [HIGH, LOW]] / rows.units))
        penalty = PENALTY * sum(len(rows.at) for rows in self._learnt)
        system = np.sum(products, axis=0) + penalty * np.eye(len(products[0]))
        found: Floats = np.linalg.solve(system, np.sum(targets, axis=0))
        return found

    def _labels(self, rows: _Rows) -> Floats:
        """Coherent labels (m, 3) of rows; the close is the last close."""
        labels = np.zeros((len(rows.at), 3))
        labels[:, [HIGH, LOW]] = self._design(rows) @ self._coefficients * rows.units
        return coherent(labels)
