import numpy as np
from oracle_tools import Candles, Floats, mean, past


def features(c: Candles) -> dict[str, Floats]:
    close, middle = c["close"], mean(c["close"], 20)
    # equal closes: their mean may be rounded, the deviation is 0 all the same
    moves = np.ptp(past(close, 20), axis=1) != 0
    deviation = np.where(moves, past(close, 20).std(axis=1), 0)
    upper, lower, width = middle + 2 * deviation, middle - 2 * deviation, 4 * deviation / middle
    usual = mean(width, 120)
    return {
        "bollinger_percent_b_20": np.where(moves, (close - lower) / (upper - lower), 0.5),
        "bollinger_width_20": width,
        "bollinger_upper_20": upper,
        "bollinger_lower_20": lower,
        "close_over_bollinger_upper_20": close / upper - 1,
        "close_over_bollinger_lower_20": np.where(lower <= 0, 0, close / lower - 1),
        "bollinger_squeeze_120": np.where(usual == 0, 1, width / usual),
    }
