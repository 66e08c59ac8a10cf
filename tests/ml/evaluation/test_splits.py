"""Splits never overlap, and the purge keeps labels and windows apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import CaseError
from ml.evaluation.splits import split_by_time


@given(rows=st.integers(210, 100_000), lags=st.integers(1, 30), horizon=st.integers(1, 10))
def test_no_label_of_one_part_reaches_into_a_window_of_the_next(rows: int, lags: int, horizon: int) -> None:
    split = split_by_time(rows, train_fraction=0.6, validation_fraction=0.2, horizon=horizon, lags=lags)
    for earlier, later in ((split.train, split.validation), (split.validation, split.holdout)):
        last_candle_of_a_label = earlier[1] - 1 + horizon
        first_row_of_a_window = later[0] - (lags - 1)
        assert last_candle_of_a_label < first_row_of_a_window
        assert first_row_of_a_window - last_candle_of_a_label <= horizon + 2  # nothing more is thrown away
    assert split.holdout[1] == rows


def test_the_parts_are_60_20_and_20_percent() -> None:
    split = split_by_time(10_000, train_fraction=0.6, validation_fraction=0.2, horizon=1, lags=1)
    assert split.train == (0, 5999)
    assert split.validation == (6001, 7999)
    assert split.holdout == (8001, 10_000)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(CaseError, match="No row is left for validation"):
        split_by_time(20, train_fraction=0.6, validation_fraction=0.2, horizon=1, lags=10)
