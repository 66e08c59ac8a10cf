"""Orders: the target position that a rule wants, set at the close of a candle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict


class OrderRecord(TypedDict):
    """`Order` as JSON; null is NaN, or no quantity."""

    side: float | None
    quantity: float | None
    fraction: float
    stop: float | None
    take_profit: float | None


@dataclass(frozen=True)
class Order:
    """A target position, set at the close of a candle.

    Attributes:
        side: 1 long, 0 flat, -1 short, NaN as before. A side that is held or ordered already changes nothing.
        quantity: in base units, of the position that the order opens; None: the fraction. A quantity that the cash does
            not cover is not refused.
        fraction: of the equity at the fill, with the fee inside; 1: all of it.
        stop: price at which the position is closed at a loss; NaN: none.
        take_profit: price at which it is closed at a gain; NaN: none.

    Raises:
        ValueError: the side is none of these, or an order that opens a position has no quantity or fraction, a level
            that is not above 0, or a stop beyond its target.
    """

    side: float = math.nan
    quantity: float | None = None
    fraction: float = 1.0
    stop: float = math.nan
    take_profit: float = math.nan

    def __post_init__(self) -> None:
        if self.side not in (-1.0, 0.0, 1.0) and not math.isnan(self.side):
            raise ValueError(f"a target is none of -1, 0, 1 and NaN: {self.side}")
        if self.opens:
            self._check_opening()

    @property
    def opens(self) -> bool:
        """Whether it is for a position, not for none."""
        return self.side in (-1.0, 1.0)

    def _check_opening(self) -> None:
        if self.quantity is not None and not 0 < self.quantity < math.inf:
            raise ValueError(f"a target that opens a position has no quantity above 0: {self.quantity}")
        if not 0 < self.fraction <= 1:
            raise ValueError(
                f"a target that opens a position has no fraction above 0 and up to 1: {self.fraction}; give such a row "
                "the target NaN"
            )
        for level in (self.stop, self.take_profit):
            if not (math.isnan(level) or 0 < level < math.inf):
                raise ValueError(f"a stop or target is not a price above 0: {level}; give NaN for none")
        if self.side * (self.take_profit - self.stop) <= 0:
            raise ValueError(
                f"the stop {self.stop} is beyond the target {self.take_profit}: it is below it for a long, above it "
                "for a short position"
            )

    def to_record(self) -> OrderRecord:
        """The order as JSON."""
        return {
            "side": or_null(self.side),
            "quantity": self.quantity,
            "fraction": self.fraction,
            "stop": or_null(self.stop),
            "take_profit": or_null(self.take_profit),
        }

    @classmethod
    def from_record(cls, record: OrderRecord) -> Order:
        """The order of a record."""
        levels = or_nan(record["stop"]), or_nan(record["take_profit"])
        return cls(or_nan(record["side"]), record["quantity"], record["fraction"], *levels)


#: As before.
HOLD = Order()


def or_null(value: float) -> float | None:
    """The value; None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value


def or_nan(value: float | None) -> float:
    """The value; NaN for None."""
    return math.nan if value is None else value
