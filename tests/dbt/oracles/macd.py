import numpy as np
import talib
from oracle_tools import Candles, Floats, before, mean, std


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    deviation = std(line, 72)
    return {
        "macd_line": line / close,
        "macd_signal": signal / close,
        "macd_histogram": histogram / close,
        "macd_histogram_change": (histogram - before(histogram)) / close,
        "macd_zscore_72": np.where(deviation <= 1e-7 * close, 0, (line - mean(line, 72)) / deviation),
    }
