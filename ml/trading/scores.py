"""Scores of a signal: on the rows of a dataset that its cases did not learn from, and live from the newest candles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypedDict

import numpy as np

from ml.data.candle_columns import CLOSE as COLUMN_CLOSE
from ml.data.datasets import Dataset
from ml.data.targets import HIGH, LOW, NEXT_CANDLE, Floats
from ml.evaluation.evaluate import fit_rows
from ml.evaluation.preparation import PreparedCase, prepare
from ml.evaluation.walk_forward import Walk, folds_of
from ml.metrics.scorer import Rows
from ml.promotion.holdout import walk_holdout
from ml.search.cases import TestCase
from ml.trading.signals import Signal, Source, in_ranges, rise_and_fall
from ml.trading.sizing import Sizes

#: Latest train rows on which the usual size of a case's moves is measured.
UNIT_ROWS = 2_000
ALL_IN = Sizes()


@dataclass(frozen=True, eq=False)
class CaseForecasts:
    """A case's forecasts of its validation and holdout rows, refitted on the way, as in service."""

    prepared: PreparedCase
    walks: tuple[Walk, Walk]

    @classmethod
    def of(cls, case: TestCase, dataset: Dataset) -> CaseForecasts:
        """Fit a case through the rows after its train part.

        Raises:
            CaseError: too few rows are usable.
        """
        prepared = prepare(case, dataset)
        folds = folds_of(prepared)
        validation = Walk(prepared, tuple(folds), tuple(fit_rows(prepared, fold.train) for fold in folds))
        return cls(prepared, (validation, walk_holdout(prepared)))

    @cached_property
    def rows(self) -> Rows:
        """(m,) predicted rows."""
        return np.concatenate([walk.rows for walk in self.walks])

    @cached_property
    def predicted(self) -> Floats:
        """(m, k) predictions of these rows."""
        return np.concatenate([walk.predicted for walk in self.walks])

    def scale(self, rows: Rows) -> Floats | None:
        """EWMA range of rows; None for probabilities."""
        return self.prepared.scale[rows] if self.prepared.case.target == NEXT_CANDLE else None

    def unit(self, source: Source) -> float:
        """Root mean square of the case's moves in ranges on its last train rows; 1 for probabilities."""
        if self.prepared.case.target != NEXT_CANDLE:
            return 1.0
        first = self.walks[0].folds[0]
        rows = first.train[-UNIT_ROWS:]
        predicted = self.walks[0].ensembles[0].predict(self.prepared.windows_at(rows))
        return unit_of(in_ranges(source, predicted, self.prepared.scale[rows]))


class FittedCases:
    """The forecasts of cases on one dataset; each case is fitted once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._fitted: dict[str, CaseForecasts] = {}

    def forecasts(self, cases: Sequence[TestCase]) -> list[CaseForecasts]:
        """Those of the cases, in their order.

        Raises:
            CaseError: too few rows are usable for one of them.
        """
        for case in cases:
            if case.key not in self._fitted:
                self._fitted[case.key] = CaseForecasts.of(case, self.dataset)
        return [self._fitted[case.key] for case in cases]


def unit_of(moves: Floats) -> float:
    """Root mean square of moves (n,) that are above 0 somewhere; 1 where a case always forecasts no move."""
    size = float(np.sqrt(np.mean(np.square(moves))))
    return size if size > 0 else 1.0


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a signal for consecutive candles, oldest first; NaN where a forecast is missing.

    Attributes:
        score: (n,) in [-1, 1].
        second: (n,) of the second sources; None with one score.
        high: (n,) forecast high of the next candle in log units over the close; NaN without a forecast of a candle.
        low: (n,) its low.
        sizes: of positions that open after each candle.
    """

    score: Floats
    second: Floats | None
    high: Floats
    low: Floats
    sizes: Sizes = ALL_IN

    def between(self, start: int, stop: int) -> Scores:
        """Those of the candles start..stop - 1."""
        return Scores(
            self.score[start:stop],
            None if self.second is None else self.second[start:stop],
            self.high[start:stop],
            self.low[start:stop],
            Sizes(*(None if one is None else one[start:stop] for one in self.sizes)),
        )

    def sized(self, signal: Signal, close: Floats, timeframe_ms: int) -> Scores:
        """With the sizes of a signal's positions, for closes (n,) up to each candle."""
        confidence = 50 + 50 * np.abs(self.score)
        return replace(self, sizes=signal.sizing.sizes(close, timeframe_ms, confidence))


def scores_of(
    signal: Signal, predicted: Sequence[Floats], scales: Sequence[Floats | None], units: Sequence[float]
) -> Scores:
    """The scores that the predictions of a signal's sources give.

    Args:
        signal: with k sources, the second ones last.
        predicted: per source (n, labels or classes), NaN where missing.
        scales: per source (n,) EWMA range; None for probabilities.
        units: per source, see `ml.trading.signals.rise_and_fall`.
    """
    sides = [
        rise_and_fall(source, forecasts, scale, unit)
        for source, forecasts, scale, unit in zip(signal.all_sources, predicted, scales, units, strict=True)
    ]
    rise, fall = (np.column_stack([pair[side] for pair in sides]) for side in (0, 1))
    first = len(signal.sources)
    second = signal.second_score(rise[:, first:], fall[:, first:]) if signal.second else None
    candle = next(
        (one for one, source in zip(predicted, signal.all_sources, strict=True) if source.target == NEXT_CANDLE), None
    )
    missing = np.full(len(rise), np.nan)
    high, low = (missing, missing) if candle is None else (candle[:, HIGH], candle[:, LOW])
    return Scores(signal.score(rise[:, :first], fall[:, :first]), second, high, low)


@dataclass(frozen=True, eq=False)
class ScoreHistory:
    """The scores of a signal for all rows of a dataset; NaN on train rows.

    Attributes:
        validation: first row of the part on which thresholds are chosen, and the row after its last.
        holdout: the same of the part that chose nothing.
        units: per source.
    """

    dataset: Dataset
    scores: Scores
    validation: tuple[int, int]
    holdout: tuple[int, int]
    units: tuple[float, ...]


def score_history(signal: Signal, cases: Sequence[CaseForecasts]) -> ScoreHistory:
    """The scores of a signal from the forecasts of its cases, one per source."""
    dataset = cases[0].prepared.dataset
    n = len(dataset)
    predicted, scales = [], []
    for case in cases:
        every = np.full((n, case.predicted.shape[1]), np.nan)
        every[case.rows] = case.predicted
        predicted.append(every)
        scales.append(case.scale(np.arange(n)))
    units = tuple(case.unit(source) for case, source in zip(cases, signal.all_sources, strict=True))
    splits = [case.prepared.split for case in cases]
    stop = 1 + min(int(case.rows[-1]) for case in cases)
    close = np.asarray(dataset.candles[:, COLUMN_CLOSE], dtype=np.float64)
    return ScoreHistory(
        dataset=dataset,
        scores=scores_of(signal, predicted, scales, units).sized(signal, close, dataset.timeframe_ms),
        validation=(max(one.validation[0] for one in splits), min(one.validation[1] for one in splits)),
        holdout=(max(one.holdout[0] for one in splits), stop),
        units=units,
    )


class Orders(TypedDict):
    """Arguments of `ml.trading.ledger.run_ledger`, (n,) each."""

    target: Floats
    quantity: Floats | None
    fraction: Floats | None
    stop: Floats | None
    take_profit: Floats | None


def orders_of(signal: Signal, scores: Scores, close: Floats, buy: Floats | float, sell: Floats | float) -> Orders:
    """The orders of a rule.

    Args:
        signal: with its rule.
        scores: of n candles.
        close: (n,) prices.
        buy: threshold, or (n,) one per candle.
        sell: the same.
    """
    side = signal.sides(scores.score, scores.second, buy, sell)
    size = scores.sizes.quantity if scores.sizes.fraction is None else scores.sizes.fraction
    if size is not None:  # a position without a size cannot be opened
        side = np.where((side != 0) & ~(size > 0), np.nan, side)
    levels = levels_of(signal, scores, close)
    return {
        "target": side,
        "quantity": scores.sizes.quantity,
        "fraction": scores.sizes.fraction,
        "stop": None if levels is None else _by_side(side, levels[:, 0], levels[:, 1]),
        "take_profit": None if levels is None else _by_side(side, levels[:, 1], levels[:, 0]),
    }


def levels_of(signal: Signal, scores: Scores, close: Floats) -> Floats | None:
    """Prices (n, 2) below and above a position that is opened: its stop and target, or its target and stop.

    None without stops in the signal; NaN where a forecast leaves no room for both.
    """
    if not signal.stops:
        return None
    below, above = (close * np.exp(signal.stops * one) for one in (scores.low, scores.high))
    return np.where((above > below)[:, None], np.column_stack([below, above]), np.nan)


def _by_side(side: Floats, of_long: Floats, of_short: Floats) -> Floats:
    """The prices (n,) of a side; NaN where it opens nothing."""
    return np.where(side == 1, of_long, np.where(side == -1, of_short, np.nan))
