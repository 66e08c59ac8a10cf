import talib
from oracle_tools import Candles, Floats


def features(c: Candles) -> dict[str, Floats]:
    return {f"rsi_{n}": talib.RSI(c["close"], n) / 100 for n in (6, 14)}
