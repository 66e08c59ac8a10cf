import numpy as np
from oracle_tools import Candles, Floats, before, past
from scipy.signal.windows import hann


def _hann(values: Floats, rows: int) -> Floats:
    # SciPy's window of rows + 2 begins and ends with a weight of 0
    weights = hann(rows + 2)[1:-1]
    return np.array([np.average(window, weights=weights) for window in past(values, rows)])


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    line = _hann(close, 20)
    return {
        "hann_20": line,
        "close_over_hann_20": close / line - 1,
        "hann_slope_20": line / before(line) - 1,
        "close_over_hann_50": close / _hann(close, 50) - 1,
    }
