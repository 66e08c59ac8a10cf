import numpy as np
from oracle_tools import Candles, Floats, mean, past


def _fast(c: Candles, rows: int) -> Floats:
    lowest, highest = past(c["low"], rows).min(axis=1), past(c["high"], rows).max(axis=1)
    return np.where(highest == lowest, 0, (c["close"] - lowest) / (highest - lowest))


def features(c: Candles) -> dict[str, Floats]:
    fast = _fast(c, 14)
    k = mean(fast, 3)
    d = mean(k, 3)
    return {
        "stochastic_k_14": k,
        "stochastic_d_14": d,
        "stochastic_fast_k_14": fast,
        "stochastic_j_14": 3 * k - 2 * d,
        "stochastic_k_50": mean(_fast(c, 50), 3),
    }
