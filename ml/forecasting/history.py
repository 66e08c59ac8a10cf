"""The closed candles of a series, from which a forecast is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml.metrics.baselines import Baselines


@dataclass(frozen=True, eq=False)
class History(Baselines):
    """The closed candles of a series, oldest first; the next candle of the last one has not closed.

    Attributes:
        missing: number of candles that have closed since and are missing.
    """

    missing: int = 0

    @cached_property
    def learnt(self) -> npt.NDArray[np.int64]:
        """Rows with known labels: baselines are fitted on all of them."""
        return np.flatnonzero(np.isfinite(self.labels).all(axis=1))
