import numpy as np
from oracle_tools import Candles, Floats, recursive_mean


def _ema(values: Floats, rows: int) -> Floats:
    """Begun with the mean of the first `rows` values that are known, as TA-Lib does."""
    known = np.flatnonzero(~np.isnan(values))
    begun = np.full(len(values), np.nan)
    if len(known) >= rows:
        begun[known[rows - 1 :]] = values[known[rows - 1 :]]
        begun[known[rows - 1]] = values[known[:rows]].mean()
    return recursive_mean(begun, 2 / (rows + 1))


def _nested(values: Floats, rows: int, depth: int) -> list[Floats]:
    """EMA, EMA of the EMA, ..."""
    result = [values]
    for _ in range(depth):
        result.append(_ema(result[-1], rows))
    return result[1:]


def _t3(values: Floats, rows: int, v: float) -> Floats:
    """Tillson (1998): three times the generalised DEMA (1 + v) EMA - v EMA(EMA), multiplied out."""
    *_, e3, e4, e5, e6 = _nested(values, rows, 6)
    return (1 + v) ** 3 * e3 - 3 * v * (1 + v) ** 2 * e4 + 3 * v**2 * (1 + v) * e5 - v**3 * e6


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    ema = {n: _ema(close, n) for n in (12, 26, 50, 200)}
    e1, e2, e3 = _nested(close, 20, 3)
    above = {"dema_20": 2 * e1 - e2, "tema_20": 3 * e1 - 3 * e2 + e3, "t3_8": _t3(close, 8, 0.7)}
    levels = {f"ema_{n}": ema[n] for n in (12, 26, 200)}
    relative = {f"close_over_ema_{n}": close / ema[n] - 1 for n in (26, 50, 200)}
    less_lag = {f"close_over_{name}": np.where(line <= 0, 0, close / line - 1) for name, line in above.items()}
    return levels | relative | less_lag | {"ema_12_over_ema_26": ema[12] / ema[26] - 1}
