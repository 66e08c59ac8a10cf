"""Units of the range: inputs and labels of a case divided by a column that says how wide the latest ranges were.

Levels of volatility differ between years and between markets, their ratios hardly do. In these units one model learns
from all years alike, and from all markets together.

Source: Bollerslev, Hood, Huss and Pedersen, Risk Everywhere: Modeling and Managing Volatility (2018), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.data.targets import Floats
from ml.errors import PredictionError
from ml.models.base import Inputs
from ml.search.cases import TestCase, is_logarithmic


@dataclass(frozen=True)
class Units:
    """Where the unit and the columns in log units are among the input columns of a case.

    Attributes:
        name: of the column that is the unit.
        place: of that column.
        divided: places of the columns that are divided by it.
    """

    name: str
    place: int
    divided: tuple[int, ...]

    @classmethod
    def of(cls, case: TestCase) -> Units | None:
        """The units of a case; None if it has none."""
        if case.unit is None:
            return None
        divided = tuple(place for place, name in enumerate(case.features) if is_logarithmic(name))
        return cls(case.unit, case.features.index(case.unit), divided)

    def sizes(self, inputs: Inputs) -> Floats:
        """The unit (n, 1) of windows (n, lags, f): that of their last row.

        Raises:
            PredictionError: it is 0, so there are no ratios to it.
        """
        sizes: Floats = inputs[:, -1, [self.place]].astype(np.float64)
        if not (sizes > 0).all():
            raise PredictionError(f"{self.name}, the unit of this case, is 0: its candles have no range.")
        return sizes

    def ratios(self, inputs: Inputs) -> Inputs:
        """The windows (n, lags, f) in units."""
        ratios = inputs.copy()
        ratios[:, :, list(self.divided)] /= self.sizes(inputs)[:, :, None].astype(np.float32)
        return ratios
