"""Sizing: how much a target that opens a position buys or sells, as a quantity or as a fraction of the equity.

A fraction is turned into a quantity at the open at which it fills, by the equity of that moment (`ml.trading.account`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from ml.data.targets import Floats
from ml.timeframes import YEAR_MS

Kind = Literal["all_in", "fixed", "fraction", "confidence", "volatility"]
#: Spans after which an exponentially weighted mean no longer depends on earlier values, to the last digit.
SIZING_SPANS = 20
#: Of pytrader's formula, in percent.
MEDIAN_CONFIDENCE, CONFIDENCE_LEVERAGE = 52.0, 90.0


class Sizes(NamedTuple):
    """Arguments of `run_ledger`: one of them, or none for all of the equity.

    Attributes:
        quantity: (n,) in base units.
        fraction: (n,) of the equity.
    """

    quantity: Floats | None = None
    fraction: Floats | None = None


@dataclass(frozen=True)
class Sizing:
    """A rule of sizing.

    Attributes:
        kind: "all_in": all of the equity; "fixed": `amount` base units; "fraction": the share `amount` of the equity;
            "confidence": `amount` base units, more or less by the confidence; "volatility": the share of the equity
            that has the volatility `target_volatility`, at most all of it.
        amount: base units, or a share, by kind.
        weight: of the predictor, a factor of the amount; "confidence" only.
        target_volatility: deviation of the returns of 365 days, as a fraction; "volatility" only.
        span: of the exponentially weighted mean of squared returns, in candles; "volatility" only.

    Raises:
        ValueError: a value is not above 0, a fraction is above 1, or the span is below 2.
    """

    kind: Kind = "all_in"
    amount: float = 1.0
    weight: float = 1.0
    target_volatility: float = 0.5
    span: int = 168

    def __post_init__(self) -> None:
        values = (self.amount, self.weight, self.target_volatility)
        if not all(0 < value < math.inf for value in values) or self.span < 2:
            raise ValueError("amount, weight and target_volatility have to be above 0, and span at least 2 candles")
        if self.kind == "fraction" and self.amount > 1:
            raise ValueError(f"the fraction of the equity is {self.amount}; give at most 1")

    def sizes(self, close: Floats, timeframe_ms: int, confidence: Floats | None = None) -> Sizes:
        """The sizes of positions that open after each candle, from candles up to it.

        Args:
            close: (n,) prices.
            timeframe_ms: length of a candle.
            confidence: (n,) in percent; "confidence" only.

        Raises:
            ValueError: the kind needs a confidence, and there is none.
        """
        if self.kind == "fixed":
            return Sizes(quantity=np.full(len(close), self.amount))
        if self.kind == "fraction":
            return Sizes(fraction=np.full(len(close), self.amount))
        if self.kind == "volatility":
            return Sizes(fraction=volatility_fraction(close, timeframe_ms, self.target_volatility, self.span))
        if self.kind == "confidence":
            if confidence is None:
                raise ValueError("sizing by confidence needs the confidence of each candle, in percent")
            return Sizes(quantity=confidence_quantity(confidence, self.amount, self.weight))
        return Sizes()


def confidence_quantity(confidence: Floats, base: float, weight: float = 1.0) -> Floats:
    """weight x base, times 1 + |confidence - 52| / 90 above 52 %, divided by it up to 52 %.

    Args:
        confidence: (n,) in percent; NaN gives NaN.
        base: quantity in base units.
        weight: of the predictor.

    Source: the amounts of pytrader's trader.

    >>> confidence_quantity(np.array([61.0, 52.0, 43.0]), 1.0).round(6).tolist()
    [1.1, 1.0, 0.909091]
    """
    factor = 1 + np.abs(confidence - MEDIAN_CONFIDENCE) / CONFIDENCE_LEVERAGE
    return weight * base * np.where(confidence > MEDIAN_CONFIDENCE, factor, 1 / factor)


def volatility_fraction(close: Floats, timeframe_ms: int, target: float, span: int) -> Floats:
    """target / volatility, at most 1: the fraction of the equity whose volatility is the target.

    Args:
        close: (n,) prices.
        timeframe_ms: length of a candle; returns over a gap count as those of one candle.
        target: deviation of the returns of 365 days, as a fraction.
        span: of the exponentially weighted mean of squared log returns, in candles.

    Returns:
        (n,) NaN before `span` returns are known: no position can be opened there.

    Source: RiskMetrics Technical Document (1996), for the estimate.
    """
    squared = pd.Series(np.diff(np.log(close), prepend=np.nan)).pow(2)
    variance = squared.ewm(span=span, min_periods=span).mean().to_numpy()
    volatility = np.sqrt(variance * (YEAR_MS / timeframe_ms))
    known = np.isfinite(volatility)
    fraction = np.divide(target, volatility, out=np.full(len(close), np.inf), where=volatility > 0)
    limited: Floats = np.where(known, np.minimum(fraction, 1.0), np.nan)
    return limited
