import numpy as np
from oracle_tools import Candles, Floats, before, mean, std


def features(c: Candles) -> dict[str, Floats]:
    close, volume = c["close"], c["volume"]
    mean_24 = mean(volume, 24)
    return {
        "volume_ratio_24": np.log1p(volume / mean_24),
        "volume_zscore_24": (volume - mean_24) / std(volume, 24),
        "obv_share_24": mean(np.sign(close - before(close)) * volume, 24) / mean_24,
    }
