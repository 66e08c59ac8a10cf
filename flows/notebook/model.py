"""A saved model that predicts from frames, as the platform does from its features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.datasets import windows
from ml.data.targets import LABELS, to_prices
from ml.errors import CandleDataError
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.model_store import few, load_model, read_card, resolved
from ml.records import ModelCard
from ml.search.cases import TestCase
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds

#: Reads the candles of a series: (symbol, timeframe, exchange).
Candles = Callable[[str, str, str], pd.DataFrame]


class Model:
    """A saved model.

    Attributes:
        id: its id.
        case: the test case that it is.
        card: its model card: training, metrics, holdout, intended use.
        columns: the columns that `predict` needs, in the model's order.
    """

    def __init__(self, identity: str, case: TestCase, card: ModelCard, ensemble: Ensemble, candles: Candles) -> None:
        """Use `Home.model`."""
        self.id, self.case, self.card = identity, case, card
        self.columns = list(case.input_columns)
        self._ensemble, self._candles = ensemble, candles

    def __repr__(self) -> str:
        return (
            f"<model {self.id}: {self.case.model} of {self.series}, {len(self.columns)} columns, {self.case.lags} lags>"
        )

    @property
    def series(self) -> Series:
        """What it forecasts: exchange, symbol and timeframe."""
        return self.case.series

    def predict(self, frame: pd.DataFrame, close: pd.Series | None = None) -> pd.DataFrame:
        """Forecast the candle after each row, exactly as the platform would.

        Args:
            frame: (n, f) the model's own `columns` (any order), which `Home.features` has (`Home.candles` for a model
                of raw candles); a UTC index of open times, ascending; at least `case.lags` rows one candle apart.
            close: (n,) the last closes in quote units, on the same index; default those of the home's candles.

        Returns:
            (m, 3) float64: high, low and close in quote units of the candle that opens when the candle of the row
            closes. A row with fewer than `case.lags` - 1 gapless rows before it has no window and is left out.

        Raises:
            CandleDataError: the frame lacks columns or has others, its index is not in UTC or not ascending, a value is
                not known, no row has a complete window, or the home has no candle for a row.
            PredictionError: the model's output is not usable.
        """
        index = _checked_index(frame.index)
        values = self._checked(frame)
        rows = self._whole(index)
        inputs = np.ascontiguousarray(windows(values, self.case.lags)[rows - self.case.lags + 1])
        index = index[rows]
        prices = to_prices(self._ensemble.predict(inputs), self._closes(index, close))
        return pd.DataFrame(prices, index=index, columns=list(LABELS))

    def _checked(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        missing = [name for name in self.columns if name not in frame]
        others = [str(name) for name in frame.columns if name not in self.columns]
        if missing or others or len(frame.columns) > len(self.columns):
            found = [f"lacks {', '.join(missing)}"] if missing else []
            found += [f"also has {few(others)}"] if others else []
            raise CandleDataError(
                f"Model {self.id} takes its {len(self.columns)} columns; this frame "
                f"{' and '.join(found) or 'has one of them twice'}. Choose them with frame[model.columns]."
            )
        values = frame[self.columns].to_numpy(np.float32, na_value=np.nan)
        unknown = ~np.isfinite(values)
        if unknown.any():
            row, column = np.argwhere(unknown)[0]
            raise CandleDataError(
                f"{int(unknown.any(axis=1).sum())} of {len(frame)} rows have values that are not known, the first at "
                f"{frame.index[row]} in {self.columns[column]}. Leave them out with frame.dropna()."
            )
        return values

    def _whole(self, index: pd.DatetimeIndex) -> npt.NDArray[np.intp]:
        """Rows whose window has no gap."""
        length = pd.Timedelta(milliseconds(self.series.timeframe), "ms")
        breaks = np.flatnonzero(np.diff(index) != length) + 1
        starts = np.zeros(len(index), dtype=np.intp)
        starts[breaks] = breaks
        run_length = np.arange(len(index)) - np.maximum.accumulate(starts) + 1
        rows = np.flatnonzero(run_length >= self.case.lags)
        if not len(rows):
            longest = int(run_length.max(initial=0))
            raise CandleDataError(
                f"Model {self.id} needs {self.case.lags} rows, one every {self.series.timeframe}; at most {longest} of "
                f"the {len(index)} rows here follow one another. Give it the rows before the one to predict from."
            )
        return rows

    def _closes(self, index: pd.DatetimeIndex, close: pd.Series | None) -> npt.NDArray[np.float64]:
        series = self.series
        if close is None:
            close = self._candles(series.symbol, series.timeframe, series.exchange)["close"]
        known = close.reindex(index).to_numpy(np.float64, na_value=np.nan)
        if not np.isfinite(known).all():
            first = index[np.flatnonzero(~np.isfinite(known))[0]]
            raise CandleDataError(
                f"{series} has no candle for {int((~np.isfinite(known)).sum())} rows, the first at {first}. "
                "Give the last closes: predict(frame, close=...)."
            )
        return known


def _checked_index(index: pd.Index[Any]) -> pd.DatetimeIndex:
    if not isinstance(index, pd.DatetimeIndex):
        raise CandleDataError(f"The frame's index holds {index.dtype}, not times. Use open times in UTC.")
    if index.tz is None or str(index.tz) != "UTC":
        how = 'frame.tz_localize("UTC")' if index.tz is None else 'frame.tz_convert("UTC")'
        raise CandleDataError(f"The frame's index has the time zone {index.tz}, not UTC. Use {how}.")
    if not (index.is_monotonic_increasing and index.is_unique):
        what = "has a time twice" if not index.is_unique else "is not ascending"
        remedy = "frame[~frame.index.duplicated()]" if not index.is_unique else "frame.sort_index()"
        raise CandleDataError(f"The frame's index {what}. Use {remedy}.")
    return index


def open_model(store: Store, identity: str, candles: Candles) -> Model:
    """The saved model whose id begins with `identity`.

    Raises:
        StoreError: there is none, or there are several.
    """
    model_id = resolved(store, identity)
    case, ensemble, _ = load_model(store, model_id)
    return Model(model_id, case, read_card(store, model_id), ensemble, candles)
