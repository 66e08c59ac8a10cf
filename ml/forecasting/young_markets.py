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
import numpy.typing as npt

from ml.data.targets import HIGH, LOW, Floats, coherent
from ml.forecasting.history import History
from ml.metrics.conformal import KEPT_SCORES, BandScores, expected_range
from ml.metrics.intervals import nonconformity_scores
from ml.timeframes import DAY_MS, HOUR_MS

#: Name of this forecaster among the baselines of a forecast.
ALL_MARKETS = "all_markets"
#: Windows of the means in candles and in days, and that of the unit in candles.
CANDLES, DAYS, UNIT = (1, 3, 6, 12), (1, 7, 30), 6
#: Fewest rows of the other markets to learn from.
MINIMAL_ROWS = 500
#: Penalty of the squared coefficients per row: in a young market the means are nearly the same column.
PENALTY = 1e-4

Rows = npt.NDArray[np.int64]


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
        last = np.array([len(history.candles) - 1])
        if sum(len(rows) for _, rows in self._learnt) < MINIMAL_ROWS or not self._known(history)[last].all():
            return None
        return self._labels(history, last)

    @cached_property
    def scores(self) -> BandScores:
        """Nonconformity scores of the forecasts of the latest rows of the other markets, oldest first."""
        values, opens_ms = [], []
        for history, rows in self._learnt:
            latest = rows[np.isfinite(history.scale[rows])][-KEPT_SCORES:]
            labels = self._labels(history, latest)
            scale = expected_range(labels, history.scale[latest])
            values.append(nonconformity_scores(labels, history.labels[latest], scale))
            opens_ms.append(history.open_time_ms[latest] + history.timeframe_ms)
        times = np.concatenate(opens_ms)
        order = np.argsort(times, kind="stable")[-KEPT_SCORES:]
        return BandScores(np.concatenate(values)[order], times[order])

    @cached_property
    def _learnt(self) -> list[tuple[History, Rows]]:
        """The other markets with their rows to learn from."""
        rows = [history.learnt[self._known(history)[history.learnt]] for history in self.others]
        return [(history, known) for history, known in zip(self.others, rows, strict=True) if len(known)]

    def _known(self, history: History) -> npt.NDArray[np.bool_]:
        """(n,) rows whose means are known and whose unit is above 0."""
        units = self._mean_range(history, UNIT)
        known: npt.NDArray[np.bool_] = np.nan_to_num(units) > 0
        known[: self._windows(history)[-1] - 1] = False
        return known

    def _windows(self, history: History) -> list[int]:
        """The windows of the means in candles, ascending."""
        day = DAY_MS // history.timeframe_ms
        return sorted({min(window, self.age) for window in (*CANDLES, *(max(days * day, 1) for days in DAYS))})

    def _mean_range(self, history: History, window: int) -> Floats:
        """(n,) mean of ln(high / low) over the latest candles, at most `age` of them; NaN with fewer."""
        width, ranges = min(window, self.age), np.log(history.candles[:, 1] / history.candles[:, 2])
        mean = np.full(len(ranges), np.nan)
        if len(ranges) >= width:
            sums = np.concatenate([[0.0], np.cumsum(ranges)])
            mean[width - 1 :] = (sums[width:] - sums[:-width]) / width
        return mean

    def _ratios(self, history: History, rows: Rows) -> tuple[Floats, Floats]:
        """Mean ranges (m, f) of rows in units, and the units (m, 1)."""
        units = self._mean_range(history, UNIT)[rows][:, None]
        return np.column_stack(
            [self._mean_range(history, window)[rows] for window in self._windows(history)]
        ) / units, units

    def _design(self, history: History, rows: Rows, ratios: Floats) -> Floats:
        """(m, f + 2) inputs of the regression."""
        usual = self._season[_part_of_season(history, rows)]
        return np.column_stack([ratios, usual, np.ones(len(rows))])

    @cached_property
    def _season(self) -> Floats:
        """Mean range of the next candle in units, by its hour of the day or weekday."""
        found, parts = [], []
        for history, rows in self._learnt:
            _, units = self._ratios(history, rows)
            found.append((history.labels[rows, HIGH] - history.labels[rows, LOW]) / units[:, 0])
            parts.append(_part_of_season(history, rows))
        every, part = np.concatenate(found), np.concatenate(parts)
        sums, counts = np.bincount(part, every, 24), np.bincount(part, minlength=24)
        # Hours in which no candle opens are not asked for.
        return np.where(counts > 0, sums / np.maximum(counts, 1), every.mean())

    @cached_property
    def _coefficients(self) -> Floats:
        """(f + 2, 2) of high and low, weighted like errors in log units over their scale, each market alike."""
        products, targets = [], []
        for history, rows in self._learnt:
            ratios, units = self._ratios(history, rows)
            weights = units / units.mean()
            design = self._design(history, rows, ratios)
            products.append((design * weights).T @ design)
            targets.append((design * weights).T @ (history.labels[rows][:, [HIGH, LOW]] / units))
        penalty = PENALTY * sum(len(rows) for _, rows in self._learnt)
        system = np.sum(products, axis=0) + penalty * np.eye(len(products[0]))
        found: Floats = np.linalg.solve(system, np.sum(targets, axis=0))
        return found

    def _labels(self, history: History, rows: Rows) -> Floats:
        """Coherent labels (m, 3) of rows; the close is the last close."""
        ratios, units = self._ratios(history, rows)
        labels = np.zeros((len(rows), 3))
        labels[:, [HIGH, LOW]] = self._design(history, rows, ratios) @ self._coefficients * units
        return coherent(labels)


def _part_of_season(history: History, rows: Rows) -> Rows:
    """Hour of the day of the next candle of rows (m,); its weekday at a day or more."""
    opens_ms = history.open_time_ms[rows] + history.timeframe_ms
    if history.timeframe_ms >= DAY_MS:
        return (opens_ms // DAY_MS + 3) % 7
    hours: Rows = opens_ms // HOUR_MS % 24
    return hours
