import numpy as np
import talib
from oracle_tools import Candles, Floats, before, mean, recursive_mean, std


def _atr(c: Candles, rows: int) -> Floats:
    last = before(c["close"])
    span = np.maximum(c["high"], last) - np.minimum(c["low"], last)
    begun = span.copy()
    begun[: rows + 1] = np.nan
    if len(span) > rows:
        begun[rows] = span[1 : rows + 1].mean()
    return recursive_mean(begun, 1 / rows)


def features(c: Candles) -> dict[str, Floats]:
    close, middle, atr = c["close"], talib.EMA(c["close"], 20), _atr(c, 10)
    upper, lower = middle + 2 * atr, middle - 2 * atr
    bollinger = [mean(close, 20) + side * std(close, 20) for side in (-2, 2)]
    still = atr <= 1e-9 * close
    inside = (lower < bollinger[0]) & (bollinger[1] < upper) & ~still
    return {
        "keltner_upper": upper,
        "keltner_lower": lower,
        "keltner_position": np.where(still, 0.5, (close - lower) / (upper - lower)),
        "keltner_width": (upper - lower) / middle,
        "close_over_keltner_upper": close / upper - 1,
        "close_over_keltner_lower": np.where(lower <= 0, 0, close / lower - 1),
        "keltner_squeeze": np.where(np.isnan(lower + bollinger[0]), np.nan, inside),
    }
