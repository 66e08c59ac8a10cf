import numpy as np
from anchored_blocks import in_blocks
from oracle_tools import Candles, Floats, before, past


def _tracker(close: Floats, speed: Floats) -> tuple[Floats, Floats]:
    """As published in Pine script (KivancOzbilgic, Optimized Trend Tracker), without its shift by two candles."""
    percent, side = 1.4, 1
    mean = close[0]
    floor, ceiling = mean - mean * percent / 100, mean + mean * percent / 100
    levels, sides = [], []
    for price, alpha in zip(close, speed, strict=True):
        mean = alpha * price + (1 - alpha) * mean
        offset = mean * percent / 100
        if side == -1 and mean > ceiling:
            side = 1
        elif side == 1 and mean < floor:
            side = -1
        floor = max(mean - offset, floor) if mean > floor else mean - offset
        ceiling = min(mean + offset, ceiling) if mean < ceiling else mean + offset
        stop = floor if side == 1 else ceiling
        levels.append(stop * ((200 + percent) if mean > stop else (200 - percent)) / 200)
        sides.append(side)
    return np.array(levels), np.array(sides, float)


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    moves = past(close - before(close), 9)
    momentum = np.abs(moves.sum(axis=1)) / np.abs(moves).sum(axis=1)
    speed = 2 / 3 * np.nan_to_num(momentum)
    level, direction = in_blocks(c, lambda rows: _tracker(close[rows], speed[rows]))
    return {
        "optimised_trend": level,
        "close_over_optimised_trend": close / level - 1,
        "optimised_trend_direction": direction,
    }
