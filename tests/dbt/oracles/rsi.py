import numpy as np
import talib
from oracle_tools import Candles, Floats, before, past


def _money_flow_index(c: Candles, rows: int) -> Floats:
    # rounded to more decimals than prices have: sums that are equal on paper are equal
    typical = np.round(c["high"] + c["low"] + c["close"], 9)
    flow = typical * c["volume"]
    inflow = past(np.where(typical > before(typical), flow, 0.0), rows).sum(axis=1)
    outflow = past(np.where(typical < before(typical), flow, 0.0), rows).sum(axis=1)
    return np.where(inflow + outflow == 0, 0.5, inflow / (inflow + outflow))


def features(c: Candles) -> dict[str, Floats]:
    result = {f"rsi_{n}": talib.RSI(c["close"], n) / 100 for n in (6, 14, 28)}
    lowest, highest = past(result["rsi_14"], 14).min(axis=1), past(result["rsi_14"], 14).max(axis=1)
    position = (result["rsi_14"] - lowest) / (highest - lowest)
    return result | {
        "stochastic_rsi_14": np.where(highest - lowest <= 1e-8, 0.5, position),
        "money_flow_index_14": _money_flow_index(c, 14),
    }
