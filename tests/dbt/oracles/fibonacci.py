import numpy as np
from oracle_tools import Candles, Floats, past


def features(c: Candles) -> dict[str, Floats]:
    close, highs, lows = c["close"], past(c["high"], 72), past(c["low"], 72)
    top, bottom = highs.max(axis=1), lows.min(axis=1)
    levels = {share: bottom * (1 - share / 1000) + top * share / 1000 for share in (236, 382, 500, 618, 786)}
    # reversed, so that the first of equal ones is the latest
    high_age, low_age = np.argmax(highs[:, ::-1], axis=1), np.argmin(lows[:, ::-1], axis=1)
    return (
        {f"fibonacci_level_{share}_72": levels[share] for share in (382, 500, 618)}
        | {f"close_over_fibonacci_{share}_72": close / level - 1 for share, level in levels.items()}
        | {
            "fibonacci_position_72": np.where(top == bottom, 0.5, (close - bottom) / (top - bottom)),
            "fibonacci_direction_72": np.where(np.isnan(top), np.nan, np.where(high_age < low_age, 1.0, -1.0)),
        }
    )
