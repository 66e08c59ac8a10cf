"""Defects on hand-made series, without Great Expectations."""

from __future__ import annotations

import pandas as pd
import pytest

from expectations import defects, references
from expectations.measures import normalised
from ml.timeframes import HOUR_MS
from tests.expectations.frames import candles


def frame(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    return normalised(candles(rows, seed=seed), "series")


@pytest.mark.parametrize("hours", [-24, -3, 1, 8, 24])
def test_a_series_moved_by_some_hours_has_that_lag(hours: int) -> None:
    lag = references.stamp_lag(frame().assign(open_ms=lambda f: f["open_ms"] + hours * HOUR_MS), frame(), HOUR_MS)
    assert lag is not None and lag.lag_ms == hours * HOUR_MS
    assert lag.correlation == pytest.approx(1.0) and abs(lag.zero_correlation) < 0.3
    assert lag.defect == ("close_stamped" if hours == 1 else "shifted_stamps")


def test_unrelated_series_and_short_overlaps_are_not_called_shifted() -> None:
    for seed in range(1, 6):
        lag = references.stamp_lag(frame(150, seed), frame(), HOUR_MS)
        assert lag is not None and lag.defect == ""
    assert references.stamp_lag(frame(100), frame(), HOUR_MS) is None  # 99 returns


def test_the_unit_of_the_volume_is_told_by_the_price() -> None:
    base = frame()
    for size in (0.05, 1.0, 5.0):  # exchanges of different sizes; price about 100
        other = base.assign(volume=base["volume"] * size)
        unit = references.volume_unit(other, base, HOUR_MS)
        assert unit is not None and not unit.counts_quote
        in_quote = other.assign(volume=other["volume"] * other["close"])
        unit = references.volume_unit(in_quote, base, HOUR_MS)
        # 0.05 of the size and 100 times the unit is a ratio of 5: nearer to 1 than to 100, left undecided
        assert unit is not None and unit.counts_quote == (size >= 1.0)


def test_the_volume_of_another_asset_says_nothing() -> None:
    other = frame().assign(close=lambda candles: candles["close"] * 2)
    assert references.volume_unit(other, frame(), HOUR_MS) is None


def test_swapped_volumes_are_not_guessed_where_the_price_is_one() -> None:
    coins = frame(50)
    fair = coins.assign(quote_volume=coins["volume"] * coins["close"])
    assert not any(marks.any() for marks in defects.volume_faults(fair).values())
    swapped = fair.assign(volume=fair["quote_volume"], quote_volume=fair["volume"])
    assert defects.volume_faults(swapped)["swapped_volumes"].all()
    wrong = fair.assign(quote_volume=fair["quote_volume"] * 3)
    assert defects.volume_faults(wrong)["quote_volume_mismatch"].all()
    ones = {column: 1.0 for column in ("open", "high", "low", "close")}
    stable = coins.assign(**ones, quote_volume=coins["volume"])
    assert not any(marks.any() for marks in defects.volume_faults(stable).values())


def test_values_of_another_exchange_are_not_compared_one_by_one() -> None:
    own = frame()
    other = own.assign(close=own["close"] * 1.0005)
    assert references.same_source(own, own) and not references.same_source(own, other)


def test_kept_copy_is_the_one_that_counts_its_trades() -> None:
    both = pd.concat([frame(3).assign(trades=[float("nan")] * 3), frame(3).assign(trades=5.0)], ignore_index=True)
    assert defects.copy_kinds(both).tolist() == ["identical"] * 3 + [""] * 3
    assert defects.copy_kinds(both.iloc[::-1]).tolist() == [""] * 3 + ["identical"] * 3
