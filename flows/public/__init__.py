"""Candleworks from a notebook.

    import candleworks as cw

    home = cw.open(".candleworks")
    home.leaderboard(symbol="BTC/USDT", timeframe="1h")

`cw.connect("http://HOST:8502", key)` gives the same frames from the HTTP API of a home on another machine.
See `candleworks.open`, `candleworks.Home` and `candleworks.connect`.
"""

from flows.notebook import Home, Model, Remote, connect, open
from ml.errors import CandleworksError
from ml.search.cases import TestCase

__all__ = ["CandleworksError", "Home", "Model", "Remote", "TestCase", "connect", "open"]
