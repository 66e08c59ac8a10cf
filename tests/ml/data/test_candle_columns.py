"""The numbers of the columns of candles against their names."""

from __future__ import annotations

from ml.data.candle_columns import CLOSE, HIGH, LOW, OPEN, VOLUME
from ml.data.datasets import CANDLE_COLUMNS


def test_the_columns_of_candles_are_where_their_names_are() -> None:
    assert [CANDLE_COLUMNS[column] for column in (OPEN, HIGH, LOW, CLOSE, VOLUME)] == [
        "open", "high", "low", "close", "volume"
    ]  # fmt: skip
