import numpy as np
import talib
from oracle_tools import Candles, Floats, before, mean, past, recursive_mean, std


def features(c: Candles) -> dict[str, Floats]:
    high, low, close, volume = (c[name] for name in ("high", "low", "close", "volume"))
    price = np.mean([c[name] for name in ("open", "high", "low", "close")], axis=0)
    bollinger = np.where(std(price, 25) < 1e-9 * price, 0.0, (price - mean(price, 25)) / (4 * std(price, 25)))
    top, bottom = past(high, 21).max(axis=1), past(low, 21).min(axis=1)
    stochastic = mean(np.where(top == bottom, 0.5, (price - bottom) / (top - bottom)), 3)
    flow = _money_flow((high + low + close) / 3, volume)
    brown = (talib.RSI(price, 14) / 100 + flow + bollinger + stochastic / 3) / 2
    return {
        "koncorde_blue": _oscillator(close, volume < before(volume)),
        "koncorde_green": brown + _oscillator(close, volume > before(volume)),
        "koncorde_brown": brown,
        "koncorde_mean": talib.EMA(brown, 15),
    }


def _money_flow(price: Floats, volume: Floats) -> Floats:
    result = np.full(len(price), np.nan)
    for row in range(14, len(price)):
        rows = np.arange(row - 13, row + 1)
        risen, fallen = (rows[side] for side in (price[rows] > price[rows - 1], price[rows] < price[rows - 1]))
        up, down = price[risen] @ volume[risen], price[fallen] @ volume[fallen]
        result[row] = up / (up + down) if up + down else 0.5
    return result


def _oscillator(close: Floats, counts: np.ndarray) -> Floats:
    index = np.cumprod(np.where(counts, close / before(close), 1.0))
    average = recursive_mean(index, 2 / 16)
    spread = np.ptp(past(average, 90), axis=1)
    return np.where(spread < 1e-6 * index, 0.0, (index - average) / spread)
