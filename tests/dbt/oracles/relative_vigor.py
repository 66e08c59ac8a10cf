import numpy as np
from oracle_tools import Candles, Floats, mean, past


def features(c: Candles) -> dict[str, Floats]:
    top, bottom = mean(_weighted(c["close"] - c["open"]), 10), mean(_weighted(c["high"] - c["low"]), 10)
    vigor = np.where(bottom == 0, 0.0, top / bottom)
    signal = _weighted(vigor)
    return {
        "relative_vigor_10": vigor,
        "relative_vigor_signal_10": signal,
        "relative_vigor_difference_10": vigor - signal,
    }


def _weighted(values: Floats) -> Floats:
    return np.average(past(values, 4), axis=1, weights=[1, 2, 2, 1])
