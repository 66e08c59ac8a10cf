import numpy as np
import talib
from oracle_tools import Candles, Floats, before, past, recursive_mean


def _age(windows: Floats) -> Floats:
    """How many candles ago the largest value of each window lies; of equal ones the latest."""
    return np.where(np.isnan(windows).any(axis=1), np.nan, windows[:, ::-1].argmax(axis=1))


def _indicators(c: Candles) -> tuple[Floats, Floats]:
    """Wilder's directional indicators: his means of the directional movement over that of the true range, 0 if 0."""
    high, low, last = c["high"], c["low"], before(c["close"])
    up, down = high - before(high), before(low) - low
    known = np.where(np.isnan(last), np.nan, 1.0)
    true_range = np.maximum(high, last) - np.minimum(low, last)
    rises, falls = np.where((up > down) & (up > 0), up, 0) * known, np.where((down > up) & (down > 0), down, 0) * known
    plus, minus, whole = (recursive_mean(values, 1 / 14) for values in (rises, falls, true_range))
    return np.where(whole == 0, 0.0, plus / whole), np.where(whole == 0, 0.0, minus / whole)


def features(c: Candles) -> dict[str, Floats]:
    plus, minus = _indicators(c)
    up, down = 1 - _age(past(c["high"], 26)) / 25, 1 - _age(-past(c["low"], 26)) / 25
    prices = c["high"], c["low"], c["close"]
    return {
        "adx_14": talib.ADX(*prices, 14) / 100,
        "plus_di_14": plus,
        "minus_di_14": minus,
        "dx_14": np.where(plus + minus == 0, 0.0, np.abs(plus - minus) / (plus + minus)),
        "directional_difference_14": plus - minus,
        "adxr_14": (talib.ADX(*prices, 14) + before(talib.ADX(*prices, 14), 13)) / 200,
        "aroon_up_25": up,
        "aroon_down_25": down,
        "aroon_oscillator_25": up - down,
    }
