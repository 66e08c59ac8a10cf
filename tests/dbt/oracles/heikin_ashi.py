import numpy as np
from oracle_tools import Candles, Floats


def features(c: Candles) -> dict[str, Floats]:
    ha_open, ha_close, streaks = [], [], []
    streak = 0
    for o, h, low, close in zip(c["open"], c["high"], c["low"], c["close"], strict=True):
        ha_open.append((ha_open[-1] + ha_close[-1]) / 2 if ha_open else (o + close) / 2)
        ha_close.append((o + h + low + close) / 4)
        body = ha_close[-1] - ha_open[-1]
        colour = 0 if abs(body) <= 1e-9 * close else int(np.sign(body))
        streak = streak + colour if colour * streak > 0 else colour
        streaks.append(min(10, max(-10, streak)))
    first, last = np.array(ha_open), np.array(ha_close)
    upper, lower = np.maximum(first, last), np.minimum(first, last)
    return {
        "heikin_ashi_open": first,
        "heikin_ashi_close": last,
        "heikin_ashi_body": (last - first) / c["close"],
        "heikin_ashi_upper_shadow": np.maximum(c["high"] - upper, 0) / c["close"],
        "heikin_ashi_lower_shadow": np.maximum(lower - c["low"], 0) / c["close"],
        "heikin_ashi_streak": np.array(streaks, float),
    }
