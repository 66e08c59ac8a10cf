import numpy as np
from oracle_tools import Candles, Floats, before, recursive_mean


def features(c: Candles) -> dict[str, Floats]:
    macd = recursive_mean(c["close"], 2 / 24) - recursive_mean(c["close"], 2 / 51)
    macd[:49] = np.nan
    first = recursive_mean(_stochastic(macd, 1e-9 * c["close"], np.full(len(macd), 0.5)), 0.5)
    cycle = recursive_mean(_stochastic(first, np.full(len(macd), 1e-9), first), 0.5)
    return {"schaff_trend_cycle": cycle, "schaff_trend_cycle_change": cycle - before(cycle)}


def _stochastic(values: Floats, least: Floats, flat: Floats) -> Floats:
    result = np.full(len(values), np.nan)
    for row in range(9, len(values)):
        window = values[row - 9 : row + 1]
        spread = window.max() - window.min()
        if not np.isnan(spread):
            result[row] = (values[row] - window.min()) / spread if spread > least[row] else flat[row]
    return result
