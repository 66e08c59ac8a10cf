"""Conformal quantiles by group: the width of an interval follows the hour of the day, not only the market's level.

A common quantile covers 80 % of all candles, but far less in the hours in which a market wakes up, and more at night.
So each candle has a group, known from its open time, and the quantile of the latest scores of that group (Mondrian
conformal prediction). A group with few scores is shrunk to the common quantile: with n scores its own has the weight
n / (n + `PRIOR_SCORES`). A market changes faster than a group fills, so the same quantile of what the latest scores of
all groups exceed theirs by is added. Scores are in units of the forecast's own expected range: a forecaster that knows
of volatility gets narrow and wide intervals from it.

Where forecasts are evaluated and where they are served, the quantile comes from `KnownScores`.

Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), 4.5, for groups; locally weighted scores
after Lei et al., Distribution-Free Predictive Inference for Regression (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ml.data.targets import HIGH, LOW, Floats
from ml.metrics.intervals import MINIMAL_SCORES, score_quantile
from ml.metrics.running import RankedScores, Whole
from ml.timeframes import DAY_MS, HOUR_MS

#: Latest scores that are kept for serving: at 1h they hold 119 of each hour of the weekend.
KEPT_SCORES = 10_000
#: Latest scores that count for the common quantile: a shorter window costs width at 95 %, a longer one holds less well.
COMMON_WINDOW = 2000
#: Latest scores of a group that count, and the number of scores at which a group weighs as much as the common quantile.
GROUP_WINDOW = 240
PRIOR_SCORES = 30
#: Least scale in units of the EWMA range: a forecaster may expect nearly no range, such as the repetition of a flat
#: candle.
LEAST_SCALE = 0.5


def groups_of(target_open_ms: Whole, timeframe_ms: int) -> Whole:
    """Groups (n,) of candles: hour of the day (UTC) and weekend or not; the weekday for candles of a day or more.

    Args:
        target_open_ms: (n,) open times of the forecast candles, milliseconds since 1970-01-01 UTC.
        timeframe_ms: length of a candle.

    >>> groups_of(np.array([0, 2 * 86_400_000 + 3_600_000]), 3_600_000)  # Thursday 00:00, Saturday 01:00
    array([ 0, 25])
    """
    weekday: Whole = (target_open_ms // DAY_MS + 3) % 7  # Monday is 0; 1970-01-01 was a Thursday
    if timeframe_ms >= DAY_MS:
        return weekday
    group: Whole = target_open_ms // HOUR_MS % 24 + 24 * (weekday >= 5)
    return group


def hour_or_weekday(target_open_ms: Whole, timeframe_ms: int) -> Whole:
    """Hour of the day (UTC) of candles (n,); the weekday for candles of a day or more. For the arguments see above."""
    groups = groups_of(target_open_ms, timeframe_ms)
    return groups if timeframe_ms >= DAY_MS else groups % 24


def expected_range(predicted: Floats, ewma_range: Floats) -> Floats:
    """The scale (n,) of intervals: predicted high - low in log units, at least `LEAST_SCALE` of the EWMA range (n,)."""
    scale: Floats = np.maximum(predicted[:, HIGH] - predicted[:, LOW], LEAST_SCALE * ewma_range)
    return scale


class KnownScores:
    """The scores of rows, oldest first, with the quantiles that are known before each row.

    Args:
        scores: (n,) nonconformity scores; a candle without a score yet is the last row, with NaN.
        groups: (n,) see `groups_of`.
        horizon: rows from one to the first whose quantile may use its score.
    """

    def __init__(self, scores: Floats, groups: Whole, horizon: int = 1) -> None:
        self._scores = scores
        self._rows = _by_group(np.asarray(groups, np.int64).tobytes(), horizon)
        self._common = self._ranked(scores)
        self._own = RankedScores(scores[self._rows.order], self._rows.starts)

    @staticmethod
    def _ranked(scores: Floats) -> RankedScores:
        return RankedScores(scores, np.array([0, len(scores)]))

    def quantiles(self, level: float) -> Floats:
        """(n,) for each row the quantile for its group, of the scores known `horizon` rows before it.

        NaN for rows with fewer than `MINIMAL_SCORES` known scores.
        """
        rows = self._rows
        common = self._common.quantiles(level, COMMON_WINDOW)[rows.known]
        own = self._own.quantiles(level, GROUP_WINDOW)[rows.place]
        quantiles = common + rows.count / (rows.count + PRIOR_SCORES) * (own - common)
        quantiles += self._ranked(self._scores - quantiles).quantiles(level, COMMON_WINDOW)[rows.known]
        return np.where(rows.known >= MINIMAL_SCORES, quantiles, np.nan)


def quantiles_before(scores: Floats, groups: Whole, level: float, horizon: int = 1) -> Floats:
    """The quantiles (n,) of one level; the arguments are those of `KnownScores`."""
    return KnownScores(scores, groups, horizon).quantiles(level)


@dataclass(frozen=True, eq=False)
class _ByGroup:
    """Rows (n,) ordered by group.

    Attributes:
        known: number of scores known before each row.
        order: the rows, group by group.
        starts: where each group begins in that order, and n.
        place: of each row, among the running quantiles of all groups, behind the known ones of its own group.
        count: known scores of its group, at most a window.
    """

    known: Whole
    order: Whole
    starts: Whole
    place: Whole
    count: Whole


@lru_cache(maxsize=4)  # the cases of a series have the same rows
def _by_group(groups: bytes, horizon: int) -> _ByGroup:
    """The order of rows whose groups are the bytes of (n,) int64."""
    names, group = np.unique(np.frombuffer(groups, np.int64), return_inverse=True)
    row = np.arange(len(group))
    known = np.maximum(row - horizon + 1, 0)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(names)))
    place = np.searchsorted((group * len(row) + row)[order], group * len(row) + known)
    count = np.minimum(place - starts[group], GROUP_WINDOW)
    return _ByGroup(known, order, np.append(starts, len(row)), place + group, count)


@dataclass(frozen=True, eq=False)
class BandScores:
    """Nonconformity scores of one forecaster, oldest first, from which its next interval gets the width.

    Attributes:
        values: (n,) in units of the expected range; of the first version of the evaluation in units of the EWMA range.
        target_open_ms: (n,) open times of the scored candles, milliseconds since 1970-01-01 UTC; None in the first
            version, whose quantile is common.
    """

    values: Floats
    target_open_ms: Whole | None

    def __len__(self) -> int:
        return len(self.values)

    def latest(self, count: int = KEPT_SCORES) -> BandScores:
        """The last `count` scores."""
        return BandScores(self.values[-count:], None if self.target_open_ms is None else self.target_open_ms[-count:])

    def then(self, values: Floats, target_open_ms: Whole) -> BandScores:
        """With later scores."""
        times = None if self.target_open_ms is None else np.concatenate([self.target_open_ms, target_open_ms])
        return BandScores(np.concatenate([self.values, values]), times)

    def next_quantile(self, target_open_ms: int, timeframe_ms: int, level: float) -> float:
        """The quantile for the candle that opens at a time, which is after all scored ones."""
        if self.target_open_ms is None:
            return score_quantile(self.values, level)
        groups = groups_of(np.append(self.target_open_ms, target_open_ms), timeframe_ms)
        return float(quantiles_before(np.append(self.values, np.nan), groups, level)[-1])

    def next_scale(self, predicted: Floats, ewma_range: Floats) -> Floats:
        """The scale (m,) of predictions (m, 3) that these scores are in units of."""
        return ewma_range if self.target_open_ms is None else expected_range(predicted, ewma_range)
