"""Costs of trading: fees by the own volume of 30 days, slippage, and the share of the volume that fills."""

from __future__ import annotations

from dataclasses import dataclass

from ml.timeframes import DAY_MS

#: Span of the own volume that sets the tier of a fee.
TIER_MS = 30 * DAY_MS


@dataclass(frozen=True)
class Costs:
    """Costs of each fill.

    Attributes:
        fee: (least own volume of 30 days in quote units, rate of each side) ascending; the first begins at 0.
        slippage: share of the price by which each fill is worse than the open, or than the level of a stop.
        volume_share: largest share of a candle's volume that fills; None: all fills.

    Raises:
        ValueError: the tiers are not ascending from 0, a rate or the slippage is not in [0, 1), or the share of the
            volume is not above 0.
    """

    fee: tuple[tuple[float, float], ...] = ((0.0, 0.001),)
    slippage: float = 0.0
    volume_share: float | None = None

    def __post_init__(self) -> None:
        least = [one for one, _ in self.fee]
        if not least or least[0] != 0 or least != sorted(set(least)):
            raise ValueError(f"the volumes of the fee tiers are {least}; give ascending ones, of which the first is 0")
        if not all(0 <= rate < 1 for rate in (self.slippage, *(rate for _, rate in self.fee))):
            raise ValueError("a fee or the slippage is not in [0, 1); give fractions, 0.001 for 0.1 %")
        if self.volume_share is not None and not self.volume_share > 0:
            raise ValueError("the share of the volume is not above 0; give a fraction, or None so that all fills")

    @classmethod
    def flat(cls, fee: float, slippage: float = 0.0) -> Costs:
        """One rate for every volume."""
        return cls(((0.0, fee),), slippage)

    @property
    def has_tiers(self) -> bool:
        """Whether the rate depends on the own volume."""
        return len(self.fee) > 1

    def rate(self, volume: float) -> float:
        """The rate of a fill after an own volume."""
        return next(rate for least, rate in reversed(self.fee) if volume >= least)
