import numpy as np
from oracle_tools import Candles, Floats


def features(c: Candles) -> dict[str, Floats]:
    top, bottom = np.maximum(c["open"], c["close"]), np.minimum(c["open"], c["close"])
    span = c["high"] - c["low"]
    return {
        "candle_body": np.log(c["close"]) - np.log(c["open"]),
        "candle_upper_shadow": np.log(c["high"]) - np.log(top),
        "candle_lower_shadow": np.log(bottom) - np.log(c["low"]),
        "candle_range": np.log(c["high"]) - np.log(c["low"]),
        "candle_high_over_close": np.log(c["high"]) - np.log(c["close"]),
        "candle_low_over_close": np.log(c["low"]) - np.log(c["close"]),
        "candle_close_location": np.where(span > 0, (c["close"] - c["low"]) / np.where(span > 0, span, 1), 0.5),
    }
