import numpy as np
from anchored_blocks import in_blocks
from oracle_tools import Candles, Floats, before, recursive_mean


def _stops(middle: Floats, width: Floats, close: Floats) -> tuple[Floats, Floats]:
    """Both stops step by step: each only comes nearer to the price, unless the last close lay (1e-9) beyond it."""
    lower, upper = middle - width, middle + width
    side = 1 if close[0] / middle[0] - 1 >= -1e-9 else -1
    levels, sides = [], []
    for row in range(len(close)):
        if row and close[row - 1] / lower[row - 1] - 1 >= -1e-9:
            lower[row] = max(lower[row], lower[row - 1])
        if row and close[row - 1] / upper[row - 1] - 1 <= 1e-9:
            upper[row] = min(upper[row], upper[row - 1])
        if side == 1 and close[row] / lower[row] - 1 < -1e-9:
            side = -1
        elif side == -1 and close[row] / upper[row] - 1 > 1e-9:
            side = 1
        levels.append(lower[row] if side == 1 else upper[row])
        sides.append(side)
    return np.array(levels), np.array(sides, float)


def features(c: Candles) -> dict[str, Floats]:
    high, low, close = c["high"], c["low"], c["close"]
    moves = [high - low, np.abs(high - before(close)), np.abs(low - before(close))]
    width = 3 * recursive_mean(np.fmax.reduce(moves), 1 / 10)
    level, direction = in_blocks(c, lambda rows: _stops((high[rows] + low[rows]) / 2, width[rows], close[rows]))
    return {
        "supertrend_10_3": level,
        "close_over_supertrend_10_3": close / level - 1,
        "supertrend_direction_10_3": direction,
    }
