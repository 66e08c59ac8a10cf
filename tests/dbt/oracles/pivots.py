import numpy as np
from oracle_tools import Candles, Floats, before, past


def features(c: Candles) -> dict[str, Floats]:
    close, last = c["close"], before(c["close"])
    top, bottom = before(past(c["high"], 24).max(axis=1)), before(past(c["low"], 24).min(axis=1))
    pivot = (top + bottom + last) / 3
    levels = {
        "pivot": pivot,
        "resistance_1": 2 * pivot - bottom,
        "resistance_2": pivot + (top - bottom),
        "support_1": 2 * pivot - top,
        "support_2": pivot - (top - bottom),
    }
    upper, lower = (last + sign * (top - bottom) * 1.1 / 4 for sign in (1, -1))
    return {f"close_over_{name}_24": 1 - level / close for name, level in levels.items()} | {
        "pivot_24": pivot,
        "pivot_width_24": (levels["resistance_1"] - levels["support_1"]) / close,
        "camarilla_position_24": np.where(top == bottom, 0.5, (close - lower) / (upper - lower)),
    }
