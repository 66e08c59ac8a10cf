import numpy as np
import talib
from oracle_tools import Candles, Floats, before, mean, std


def features(c: Candles) -> dict[str, Floats]:
    opened, high, low, close = c["open"], c["high"], c["low"], c["close"]
    log_return = np.log(close) - np.log(before(close))
    result = {}
    for n in (10, 20):
        expected = std(log_return, n, ddof=1) * np.sqrt(n)
        result[f"momentum_normalised_{n}"] = np.where(
            expected == 0, 0.0, (np.log(close) - np.log(before(close, n))) / expected
        )
    flat = high == low
    return result | {
        "cci_20": talib.CCI(high, low, close, 20) / 100,
        "williams_r_14": talib.WILLR(high, low, close, 14) / 100,
        "ultimate_oscillator": talib.ULTOSC(high, low, close, 7, 14, 28) / 100,
        "balance_of_power_14": mean(np.where(flat, 0.0, (close - opened) / np.where(flat, 1.0, high - low)), 14),
        "trix_15": talib.TRIX(close, 15) / 100,
    }
