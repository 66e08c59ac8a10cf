import numpy as np
from oracle_tools import Candles, Floats, mean, std


def features(c: Candles) -> dict[str, Floats]:
    multiple = c["close"] / mean(c["close"], 200)
    deviation = std(multiple, 200)
    zscore = np.where(deviation <= 1e-9, 0, (multiple - mean(multiple, 200)) / deviation)
    return {"mayer_multiple_200": multiple, "mayer_multiple_zscore_200": zscore}
