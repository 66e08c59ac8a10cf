import numpy as np
from oracle_tools import Candles, Floats, before, mean, recursive_mean, std


def features(c: Candles) -> dict[str, Floats]:
    log_return = np.log(c["close"] / before(c["close"]))
    up, down, body = np.log(c["high"] / c["open"]), np.log(c["low"] / c["open"]), np.log(c["close"] / c["open"])
    rogers_satchell = up * (up - body) + down * (down - body)
    garman_klass = 0.5 * (up - down) ** 2 - (2 * np.log(2) - 1) * body**2
    jump = np.log(c["open"]) - np.log(before(c["close"]))
    k = 0.34 / (1.34 + (24 + 1) / (24 - 1))
    yang_zhang = std(jump, 24, 1) ** 2 + k * std(body, 24, 1) ** 2 + (1 - k) * mean(rogers_satchell, 24)
    spans = {"har_day": 24, "har_week": 168, "har_month": 720}
    return {
        **{f"volatility_{n}": std(log_return, n, ddof=1) for n in (6, 24, 72)},
        **{name: np.sqrt(mean(log_return**2, n)) for name, n in spans.items()},
        "parkinson_24": np.sqrt(mean((up - down) ** 2, 24) / (4 * np.log(2))),
        "garman_klass_24": np.sqrt(mean(garman_klass, 24)),
        "rogers_satchell_24": np.sqrt(mean(rogers_satchell, 24)),
        "yang_zhang_24": np.sqrt(yang_zhang),
        "ewma_volatility": np.sqrt(recursive_mean(log_return**2, 1 - 0.94)),
        "downside_volatility_24": np.sqrt(mean(np.where(log_return > 0, 0.0, log_return) ** 2, 24)),
        "volatility_of_volatility_24": std(std(log_return, 6, ddof=1), 24, ddof=1),
    }
