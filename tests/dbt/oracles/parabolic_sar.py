import numpy as np
import talib
from anchored_blocks import in_blocks
from oracle_tools import Candles, Floats


def features(c: Candles) -> dict[str, Floats]:
    high, low, close = c["high"], c["low"], c["close"]

    def stop(rows: slice) -> tuple[Floats, Floats]:
        level = talib.SAR(high[rows], low[rows], 0.02, 0.2)
        direction = np.where(level > low[rows], -1.0, 1.0)
        for row in np.flatnonzero((level <= low[rows]) & (level >= high[rows])):
            direction[row] = -direction[row - 1]  # it meets a candle without height, and turns
        return level, direction

    level, direction = in_blocks(c, stop)
    return {
        "parabolic_sar": level,
        "close_over_parabolic_sar": close / level - 1,
        "parabolic_sar_direction": direction,
    }
