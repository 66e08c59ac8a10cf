import numpy as np
from oracle_tools import Candles, Floats, mean, past, std


def _place(value: Floats, lowest: Floats, highest: Floats) -> Floats:
    flat = highest - lowest <= 1e-9 * np.maximum(abs(lowest), abs(highest))
    return np.where(flat, 0.5, (value - lowest) / (highest - lowest))


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    lower, upper = (mean(close, 20) + side * std(close, 20) for side in (-2, 2))
    moves = np.ptp(past(close, 20), axis=1) != 0
    percent_b = np.where(moves, (close - lower) / (upper - lower), 0.5)
    own = past(percent_b, 14)
    k = mean(_place(percent_b, own.min(axis=1), own.max(axis=1)), 3)
    raw = _place(close, past(c["low"], 14).min(axis=1), past(c["high"], 14).max(axis=1))
    return {
        "bollinger_stochastic_k_14": k,
        "bollinger_stochastic_d_14": mean(k, 3),
        "bollinger_minus_stochastic_14": percent_b - raw,
    }
