import numpy as np
import talib
from oracle_tools import Candles, Floats, before, mean, past


def features(c: Candles) -> dict[str, Floats]:
    high, low, close, volume = (c[name] for name in ("high", "low", "close", "volume"))
    mean_24 = mean(volume, 24)
    place = np.where(high > low, ((close - low) - (high - close)) / (high - low), 0.0)
    vwma = np.where(mean(volume, 20) > 0, mean(close * volume, 20) / mean(volume, 20), close)
    middle = (high + low) / 2
    ease = np.where(volume > 0, (middle - before(middle)) / (volume / (high - low)), 0.0 * before(middle))
    return {
        "accumulation_share_24": _share(mean(place * volume, 24), mean_24),
        "chaikin_money_flow_20": _share(mean(place * volume, 20), mean(volume, 20)),
        "vwma_20": vwma,
        "close_over_vwma_20": close / vwma - 1,
        "volume_trend_6_24": _share(mean(volume, 6) - mean_24, mean_24),
        "force_index_13": _share(talib.EMA((close - before(close)) * volume, 13) / close, mean_24),
        "ease_of_movement_14": mean(ease, 14) * mean_24 / close**2,
        "price_volume_correlation_24": _correlation(np.log(close), np.log(1 + volume)),
    }


def _share(part: Floats, whole: Floats) -> Floats:
    return np.where(whole == 0, 0.0, part / whole)


def _correlation(price: Floats, volume: Floats) -> Floats:
    pairs = zip(past(price - before(price), 24), past(volume - before(volume), 24), strict=True)
    return np.array([0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else np.corrcoef(x, y)[0, 1] for x, y in pairs])
