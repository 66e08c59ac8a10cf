import numpy as np
from oracle_tools import Candles, Floats, before, mean, recursive_mean, std


def features(c: Candles) -> dict[str, Floats]:
    log_return = np.log(c["close"] / before(c["close"]))
    up, down, body = np.log(c["high"] / c["open"]), np.log(c["low"] / c["open"]), np.log(c["close"] / c["open"])
    rogers_satchell = up * (up - body) + down * (down - body)
    jump = np.log(c["open"]) - np.log(before(c["close"]))
    k = 0.34 / (1.34 + (24 + 1) / (24 - 1))
    yang_zhang = std(jump, 24, 1) ** 2 + k * std(body, 24, 1) ** 2 + (1 - k) * mean(rogers_satchell, 24)
    spans = {"har_day": 24, "har_week": 168, "har_month": 720}
    return {
        **{name: np.sqrt(mean(log_return**2, n)) for name, n in spans.items()},
        "yang_zhang_24": np.sqrt(yang_zhang),
        "ewma_volatility": np.sqrt(recursive_mean(log_return**2, 1 - 0.94)),
        "downside_volatility_24": np.sqrt(mean(np.where(log_return > 0, 0.0, log_return) ** 2, 24)),
        "volatility_of_volatility_24": std(std(log_return, 6, ddof=1), 24, ddof=1),
    }
