"""A series: one market in one timeframe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ml import symbols
from ml.records import SeriesKey


class Series(BaseModel):
    """A market in one timeframe: the unit of datasets, champions and forecasts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str
    symbol: str
    timeframe: str

    @property
    def key(self) -> SeriesKey:
        """Exchange, symbol and timeframe, as columns of a record."""
        return {"exchange": self.exchange, "symbol": self.symbol, "timeframe": self.timeframe}

    @property
    def slug(self) -> str:
        """A file name, unique per series: ``binance_BTC-USDT_1h``."""
        exchange = symbols.without_reserved(self.exchange)
        return f"{exchange}_{symbols.file_name(self.symbol)}_{self.timeframe}"

    def __str__(self) -> str:
        return f"{self.symbol} {self.timeframe}"
