import numpy as np
from oracle_tools import Candles, Floats


def features(c: Candles) -> dict[str, Floats]:
    close, volume = c["close"], c["volume"]
    price = (c["high"] + c["low"] + close) / 3
    names = ("24", "168", "from_high_72", "from_low_72")
    means = {name: np.full(len(close), np.nan) for name in names}
    deviation = np.full(len(close), np.nan)
    for row in range(len(close)):
        starts = {"24": row - 23, "168": row - 167}
        if row >= 71:
            starts |= {"from_high_72": _last(c["high"], row, np.max), "from_low_72": _last(c["low"], row, np.min)}
        for name, start in starts.items():
            if start >= 0:
                means[name][row], spread = _weighted(price[start : row + 1], volume[start : row + 1])
                if name == "24":
                    away = close[row] - means[name][row]
                    deviation[row] = away / spread if spread > 1e-9 * means[name][row] else 0.0
    result = {f"close_over_vwap_{name}": close / means[name] - 1 for name in names}
    return result | {"vwap_24": means["24"], "vwap_deviation_24": deviation}


def _last(values: Floats, row: int, extreme: np.ufunc) -> int:
    """The latest of the 72 rows up to this one that holds their extreme."""
    window = values[row - 71 : row + 1]
    return row - 71 + int(np.flatnonzero(window == extreme(window))[-1])


def _weighted(price: Floats, volume: Floats) -> tuple[float, float]:
    """Mean and standard deviation; the last price and 0 without volume."""
    if not volume.any():
        return price[-1], 0.0
    mean = np.average(price, weights=volume)
    return mean, np.sqrt(np.average((price - mean) ** 2, weights=volume))
