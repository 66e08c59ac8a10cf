import numpy as np
from oracle_tools import Candles, Floats, before, past


def _position(c: Candles, top: Floats, bottom: Floats) -> Floats:
    return np.where(top == bottom, 0.5, (c["close"] - bottom) / (top - bottom))


def _breakout(c: Candles, top: Floats, bottom: Floats) -> Floats:
    above, below = c["high"] > top, c["low"] < bottom
    return np.select([above & ~below, below & ~above], [1.0, -1.0], 0.0)


def features(c: Candles) -> dict[str, Floats]:
    channels = {
        n: (before(past(c["high"], n).max(axis=1)), before(past(c["low"], n).min(axis=1))) for n in (10, 20, 55)
    }
    top, bottom = channels[20]
    return (
        {f"turtle_position_{n}": _position(c, *channel) for n, channel in channels.items()}
        | {f"turtle_breakout_{n}": _breakout(c, *channels[n]) for n in (20, 55)}
        | {"turtle_width_20": (top - bottom) / c["close"]}
    )
