import numpy as np
from oracle_tools import Candles, Floats, before, mean


def _ewma_6(run: Floats) -> Floats:
    """An exponential mean with weight 2 / 7, started with the mean of the first six values; the first one is NaN."""
    smooth = np.full(len(run), np.nan)
    for row in range(6, len(run)):
        smooth[row] = run[1:7].mean() if row == 6 else smooth[row - 1] + 2 / 7 * (run[row] - smooth[row - 1])
    return smooth


def features(c: Candles) -> dict[str, Floats]:
    result = {}
    for side in ("high", "low"):
        run = np.log(c[side] / before(c["close"]))
        result[f"range_{side}_ewma_6"] = _ewma_6(run)
        result |= {f"range_{side}_mean_{n}": mean(run, n) for n in (6, 24, 72, 168)}
    return result
