"""Sizes of positions, against values worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ml.timeframes import DAY_MS
from ml.trading.ledger import Costs, run_ledger
from ml.trading.sizing import Sizes, Sizing, confidence_quantity, volatility_fraction
from tests.trading import market, times_of


def test_fixed_and_fraction_are_the_same_on_all_rows_and_all_in_is_neither() -> None:
    close = np.full(3, 100.0)
    assert Sizing().sizes(close, DAY_MS) == Sizes(None, None)
    fixed, fraction = Sizing("fixed", 2.5).sizes(close, DAY_MS), Sizing("fraction", 0.4).sizes(close, DAY_MS)
    assert (fixed.quantity.tolist(), fixed.fraction) == ([2.5] * 3, None)  # type: ignore[union-attr]
    assert (fraction.quantity, fraction.fraction.tolist()) == (None, [0.4] * 3)  # type: ignore[union-attr]


def test_confidence_is_pytraders_formula() -> None:
    # 97 %: x 1.5; 52 %: as it is; 7 %: / 1.5.
    found = confidence_quantity(np.array([97.0, 52.0, 7.0, math.nan]), 0.01, 3.0)
    np.testing.assert_allclose(found, [0.045, 0.03, 0.02, math.nan])


def test_the_fraction_has_the_target_volatility() -> None:
    # Span 2: alpha 2/3. Log returns .02 and .04: squares .0004 and .0016, weighted 1/3 : 1 = .0013; of days, x 365.
    close = 100 * np.exp(np.cumsum([0.0, 0.02, 0.04]))
    volatility = math.sqrt((0.0004 / 3 + 0.0016) / (4 / 3) * 365)
    found = volatility_fraction(close, DAY_MS, 0.3, 2)
    np.testing.assert_allclose(found, [math.nan, math.nan, 0.3 / volatility])
    # At most all of the equity, also where nothing moves.
    assert volatility_fraction(close, DAY_MS, 5.0, 2)[-1] == 1.0
    assert volatility_fraction(np.full(4, 100.0), DAY_MS, 0.3, 2).tolist()[2:] == [1.0, 1.0]


def test_where_the_volatility_is_unknown_no_position_can_be_opened() -> None:
    candles = market(10, 1)
    sizes = Sizing("volatility", span=4).sizes(candles[:, 3], DAY_MS)
    assert sizes.fraction is not None
    target = np.ones(10)
    options: dict[str, Any] = {"cash": 1000.0, "costs": Costs.flat(0.0), "fraction": sizes.fraction}
    with pytest.raises(ValueError, match="no fraction above 0 and up to 1: nan; give such a row the target NaN"):
        run_ledger(candles, times_of(candles), target, **options)
    waiting = np.where(np.isnan(sizes.fraction), np.nan, target)  # the remedy
    assert run_ledger(candles, times_of(candles), waiting, **options).fills[0].bar == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": 0.0}, "have to be above 0"),
        ({"weight": math.inf}, "have to be above 0"),
        ({"target_volatility": -1.0}, "have to be above 0"),
        ({"span": 1}, "span at least 2 candles"),
        ({"kind": "fraction", "amount": 1.5}, "give at most 1"),
    ],
)
def test_sizings_without_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sizing(**changes)


def test_sizing_by_confidence_needs_one() -> None:
    with pytest.raises(ValueError, match="needs the confidence of each candle, in percent"):
        Sizing("confidence").sizes(np.full(3, 100.0), DAY_MS)
    assert Sizing("confidence").sizes(np.full(1, 100.0), DAY_MS, np.array([52.0])).quantity == 1.0
