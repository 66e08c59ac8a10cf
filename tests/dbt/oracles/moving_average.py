import talib
from oracle_tools import Candles, Floats, mean


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    result = {f"close_over_sma_{n}": close / mean(close, n) - 1 for n in (6, 24, 72, 168)}
    return result | {"sma_24": mean(close, 24), "close_over_ema_12": close / talib.EMA(close, 12) - 1}
