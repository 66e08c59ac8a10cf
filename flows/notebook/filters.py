"""The filters that the methods of a home share: exchange, symbol and timeframe."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from ml.errors import CandleDataError
from ml.series import Series
from ml.timeframes import milliseconds


def matching(
    series: Collection[Series], symbol: str | None, timeframe: str | None, exchange: str | None
) -> list[Series]:
    """The series that match the filters (None: all), ordered by exchange, symbol and length of their candles.

    Raises:
        CandleDataError: there is none; the message names the existing values, or how to get candles.
    """
    wanted = {"symbol": symbol, "timeframe": timeframe, "exchange": exchange}
    asked = {name: value for name, value in wanted.items() if value is not None}
    found = [one for one in series if all(getattr(one, name) == value for name, value in asked.items())]
    if not series:
        raise CandleDataError("There is no candle yet. Run `candleworks ingest`, `transform` and then `publish`.")
    if not found:
        raise CandleDataError(f"No series has {_said(asked)}. There are: {_listed(series)}.")
    return sorted(found, key=lambda one: (one.exchange, one.symbol, milliseconds(one.timeframe)))


def _said(asked: dict[str, str]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in asked.items())


def _listed(series: Iterable[Series]) -> str:
    names = ("symbol", "timeframe", "exchange")
    values = {name: sorted({getattr(one, name) for one in series}) for name in names}
    values["timeframe"].sort(key=milliseconds)
    return "; ".join(f"{name} {', '.join(found) or 'none'}" for name, found in values.items())


def series_of(frame: pd.DataFrame) -> set[Series]:
    """The series that a frame has rows of."""
    rows = frame[["exchange", "symbol", "timeframe"]].drop_duplicates().to_dict("records")
    return {Series(**{str(name): value for name, value in row.items()}) for row in rows}


def rows_of(frame: pd.DataFrame, series: Iterable[Series]) -> pd.DataFrame:
    """The rows of a frame that belong to some of the series, in their order."""
    wanted = pd.MultiIndex.from_tuples([(one.exchange, one.symbol, one.timeframe) for one in series])
    return frame[pd.MultiIndex.from_frame(frame[["exchange", "symbol", "timeframe"]]).isin(wanted)]
