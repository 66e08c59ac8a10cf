import numpy as np
import talib
from oracle_tools import Candles, Floats, before, mean


def features(c: Candles) -> dict[str, Floats]:
    high, low, close = c["high"], c["low"], c["close"]
    true_range = np.maximum(high, before(close)) - np.minimum(low, before(close))
    return {
        "natr_6": talib.NATR(high, low, close, 6) / 100,
        "natr_14": talib.NATR(high, low, close, 14) / 100,
        "atr_14": talib.ATR(high, low, close, 14),
        "atr_simple_14": mean(true_range, 14),
        "natr_simple_14": mean(true_range, 14) / close,
        "true_range_over_close": true_range / close,
    }
