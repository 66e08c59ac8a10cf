import numpy as np
from oracle_tools import Candles, Floats, before, past


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    change = close / before(close, 14) + close / before(close, 11) - 2
    curve = past(change, 10) @ np.arange(1, 11) / 55
    return {"coppock_curve": curve, "coppock_slope": curve - before(curve)}
