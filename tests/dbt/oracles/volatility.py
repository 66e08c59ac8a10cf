import numpy as np
from oracle_tools import Candles, Floats, before, mean, std


def features(c: Candles) -> dict[str, Floats]:
    log_return = np.log(c["close"] / before(c["close"]))
    up, down, body = np.log(c["high"] / c["open"]), np.log(c["low"] / c["open"]), np.log(c["close"] / c["open"])
    rogers_satchell = up * (up - body) + down * (down - body)
    garman_klass = 0.5 * (up - down) ** 2 - (2 * np.log(2) - 1) * body**2
    return {
        **{f"volatility_{n}": std(log_return, n, ddof=1) for n in (6, 24, 72)},
        "parkinson_24": np.sqrt(mean((up - down) ** 2, 24) / (4 * np.log(2))),
        "garman_klass_24": np.sqrt(mean(garman_klass, 24)),
        "rogers_satchell_24": np.sqrt(mean(rogers_satchell, 24)),
    }
