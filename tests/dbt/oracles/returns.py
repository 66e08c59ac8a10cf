import numpy as np
from oracle_tools import Candles, Floats, before


def features(c: Candles) -> dict[str, Floats]:
    return {f"log_return_{n}": np.log(c["close"]) - np.log(before(c["close"], n)) for n in (1, 2, 3, 6, 12, 24)}
