import numpy as np
from oracle_tools import Candles, Floats, before, past, recursive_mean


def features(c: Candles) -> dict[str, Floats]:
    high, low, close = c["high"], c["low"], c["close"]
    change = close - before(close)
    up, down = (recursive_mean(np.maximum(side * change, 0), 1 / 14) for side in (1, -1))
    steps = np.arange(14)
    lines = np.polyfit(steps, np.nan_to_num(past(close, 14)).T, 1)
    forecast = before(lines[0] * 14 + lines[1])
    forecast[:14] = np.nan
    ranges = np.max([high - low, np.abs(high - before(close)), np.abs(low - before(close))], axis=0)
    ranges = recursive_mean(ranges, 1 / 10)
    short = past(past(high, 10).max(axis=1) - ranges, 9).max(axis=1)
    long = past(past(low, 10).min(axis=1) + ranges, 9).min(axis=1)
    return {
        "chande_momentum_14": np.where(up + down > 0, (up - down) / (up + down), 0.0 * up),
        "chande_forecast_oscillator_14": (close - forecast) / close,
        "chande_kroll_long_stop": long,
        "chande_kroll_short_stop": short,
        "close_over_chande_kroll_long": 1 - long / close,
        "close_over_chande_kroll_short": 1 - short / close,
    }
