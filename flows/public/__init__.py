"""Candleworks from a notebook.

    import candleworks as cw

    home = cw.open(".candleworks")
    home.leaderboard(symbol="BTC/USDT", timeframe="1h")

See `candleworks.open` and `candleworks.Home`.
"""

from flows.notebook import Home, Model, open
from ml.errors import CandleworksError
from ml.search.cases import TestCase

__all__ = ["CandleworksError", "Home", "Model", "TestCase", "open"]
