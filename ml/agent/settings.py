"""Settings of an agent: the episode it is trained on, its network and its training; and the named presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ml.trading.costs import Costs

PresetName = Literal["default", "bitcoin_factory"]


@dataclass(frozen=True)
class AgentSettings:
    """What an agent sees, at which costs it trades, and how it learns.

    Attributes:
        groups: of feature columns; those that a dataset has are used.
        window: rows that it sees.
        fee: of each side, as a fraction.
        slippage: of each fill, as a fraction.
        long_only: flat in place of short.
        minimal_trade: smallest trade, as a share of the capital at the start.
        ruin: an episode ends when the equity is at or below this share of the capital at the start.
        train_fraction: share of the rows before the first cut.
        test_fraction: share between the cuts; the rest is the validate part.
        units: width of the two hidden layers.
        streams: episodes that are played side by side.
        steps: candles of each of them between two updates.
        batch_size: samples per step of Adam.
        epochs: passes through the samples per update.
        iterations: most updates.
        patience: updates without a larger gain on the test part before training stops.
        learning_rate: of Adam.
        discount: of the reward of the next candle.
        trace: decay of the advantage estimate (lambda of GAE).
        clip: largest change of an action's probability ratio that is rewarded.
        entropy: weight of the entropy of the actions.
    """

    groups: tuple[str, ...] = ("returns", "candle_shape", "volume", "turtle")
    window: int = 6
    fee: float = 0.001
    slippage: float = 0.0
    long_only: bool = False
    minimal_trade: float = 0.0
    ruin: float = 0.0
    train_fraction: float = 0.6
    test_fraction: float = 0.2
    units: int = 16
    streams: int = 64
    steps: int = 128
    batch_size: int = 512
    epochs: int = 4
    iterations: int = 200
    patience: int = 40
    learning_rate: float = 0.0003
    discount: float = 0.9
    trace: float = 0.9
    clip: float = 0.2
    entropy: float = 0.01

    @property
    def costs(self) -> Costs:
        """Of each fill."""
        return Costs.flat(self.fee, self.slippage)

    @property
    def sides(self) -> tuple[float, ...]:
        """The target position of each action."""
        return (0.0, 1.0) if self.long_only else (0.0, 1.0, -1.0)


PRESETS: dict[PresetName, AgentSettings] = {
    "default": AgentSettings(),
    # Source: the reinforcement learning script of Superalgos' Bitcoin Factory. It differs in what no ledger can have
    # (fills at a random price of the current candle, two stochastic episodes as its evaluation) and in part of its
    # actions (amounts in quarters of the equity, limit orders): all of the equity is traded at the next open.
    "bitcoin_factory": AgentSettings(
        groups=("returns", "candle_shape", "volume", "turtle"),
        window=24,
        fee=0.01,
        minimal_trade=0.1,
        ruin=0.5,
        train_fraction=0.335,
        test_fraction=0.335,
        units=64,
        streams=8,
        steps=256,
        batch_size=64,
        epochs=10,
        iterations=100,
        patience=100,
        learning_rate=1e-5,
        discount=0.95,
        trace=1.0,
        clip=0.3,
        entropy=0.0,
    ),
}
