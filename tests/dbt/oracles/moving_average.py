import numpy as np
import talib
from oracle_tools import Candles, Floats, mean, past


def _weighted(values: Floats, weights: list[int]) -> Floats:
    return past(values, len(weights)) @ np.array(weights) / sum(weights)


def _wma(values: Floats, rows: int) -> Floats:
    return _weighted(values, list(range(1, rows + 1)))


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    result = {f"close_over_sma_{n}": close / mean(close, n) - 1 for n in (6, 24, 72, 168)}
    hull = _wma(2 * _wma(close, 8) - _wma(close, 16), 4)
    triangle = _weighted(close, [*range(1, 11), *range(10, 0, -1)])
    return result | {
        "sma_24": mean(close, 24),
        "close_over_ema_12": close / talib.EMA(close, 12) - 1,
        "close_over_wma_20": close / _wma(close, 20) - 1,
        "close_over_hma_16": np.where(hull <= 0, 0, close / hull - 1),
        "close_over_trima_20": close / triangle - 1,
        "sma_6_over_sma_24": mean(close, 6) / mean(close, 24) - 1,
        "sma_24_over_sma_168": mean(close, 24) / mean(close, 168) - 1,
    }
