"""The environment: episodes of an agent, with fills and gains exactly by the rule of the ledger.

At the close of a candle the agent sees the window that ends there, its position and the open gain of it, and sets a
target: flat, long or short. The order fills at the open of the next candle with all of the equity, as in
`ml.trading.account`. The reward is the logarithmic gain of the equity from close to close, after costs. Own orders do
not move the market: episodes are played side by side, as compiled code. Random numbers are arguments, so equal
arguments give equal episodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml.agent.settings import AgentSettings
from ml.data.candle_columns import CLOSE, OPEN
from ml.data.targets import Floats
from ml.machine_code import machine_code
from ml.trading.daily import RUIN

#: Inputs about the position: long, short, open gain.
STATE = 3


class Head(NamedTuple):
    """The part of a policy behind its window, which is computed candle by candle.

    Attributes:
        state: (3, units) weights of the position.
        kernel: (units, actions + 1) weights of the outputs: a logit per action, and the value.
        bias: (actions + 1,).
    """

    state: Floats
    kernel: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Market:
    """Consecutive candles to trade.

    Attributes:
        candles: (n, 5) open high low close volume.
        open_time_ms: (n,).
        known: (n,) candles whose window is known; elsewhere the position is kept.
        gain_unit: logarithmic gain that counts as 1 in the inputs.
    """

    candles: Floats
    open_time_ms: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    gain_unit: float

    def between(self, start: int, stop: int) -> Market:
        """The candles start..stop - 1."""
        return Market(self.candles[start:stop], self.open_time_ms[start:stop], self.known[start:stop], self.gain_unit)


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes played side by side.

    Attributes:
        actions: (b, t) number of the chosen action.
        log_probability: (b, t) of it.
        values: (b, t + 1) estimated by the policy.
        rewards: (b, t) logarithmic gain from this close to the next one.
        states: (b, t, 3) inputs about the position.
        target: (b, t) side that was ordered at this close, NaN where there was no decision.
        present: (b, t) decisions.
        ended: (b, t) the account is ruined at the next close: a new episode begins there.
    """

    actions: npt.NDArray[np.int64]
    log_probability: Floats
    values: Floats
    rewards: Floats
    states: Floats
    target: Floats
    present: npt.NDArray[np.bool_]
    ended: npt.NDArray[np.bool_]


def play(
    market: Market,
    hidden: Floats,
    head: Head,
    settings: AgentSettings,
    starts: npt.NDArray[np.int64],
    draws: Floats,
) -> Episodes:
    """Play episodes, each with a capital of 1 and without a position at its start.

    Args:
        market: n candles.
        hidden: (n, units) inputs of the hidden layer from the window that ends at each candle.
        head: of the policy.
        settings: costs, sides and the end of an episode.
        starts: (b,) first candle of each episode.
        draws: (b, t) uniform random numbers that choose the actions; NaN chooses the most probable one.
    """
    b, t = draws.shape
    whole = np.zeros((b, t), np.int64)
    flags = np.zeros((2, b, t), np.bool_)
    numbers = np.zeros((3, b, t))
    numbers[2] = np.nan
    values, states = np.zeros((b, t + 1)), np.zeros((b, t + 1, STATE))
    machine_code(_play, _forward, _choose, _fill)(
        np.ascontiguousarray(market.candles[:, [OPEN, CLOSE]], dtype=np.float64),
        market.known,
        np.ascontiguousarray(hidden, dtype=np.float64),
        (*(np.ascontiguousarray(one, dtype=np.float64) for one in head), np.array(settings.sides)),
        (settings.fee, settings.slippage, settings.minimal_trade, max(settings.ruin, RUIN), market.gain_unit),
        starts,
        draws,
        (whole, numbers, flags, values, states),
    )
    return Episodes(whole, numbers[0], values, numbers[1], states[:, :t], numbers[2], flags[0], flags[1])


def deterministic_targets(market: Market, hidden: Floats, head: Head, settings: AgentSettings) -> tuple[Floats, float]:
    """The sides (n,) that the most probable actions order, and their logarithmic gain.

    After the end of the episode by ruin the agent is flat.
    """
    n = len(market.candles)
    played = play(market, hidden, head, settings, np.zeros(1, np.int64), np.full((1, n), np.nan))
    target, ended = played.target[0], np.flatnonzero(played.ended[0])
    if not len(ended):
        return target, float(played.rewards.sum())
    last = int(ended[0]) + 1
    target[last] = 0.0
    target[last + 1 :] = np.nan
    return target, float(played.rewards[0, :last].sum())


def _play(  # noqa: PLR0913, PLR0917 - machine code has no classes
    prices: Floats,
    known: npt.NDArray[np.bool_],
    hidden: Floats,
    head: tuple[Floats, Floats, Floats, Floats],
    rules: tuple[float, float, float, float, float],
    starts: npt.NDArray[np.int64],
    draws: Floats,
    out: tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.bool_], Floats, Floats],
) -> None:
    """Write episodes into `out`: actions; probabilities, rewards, targets; present, ended; values; states."""
    state, kernel, bias, sides = head
    fee, slippage, minimal, ruin, unit = rules
    actions, numbers, flags, values, states = out
    count = len(sides)
    logits = np.empty(count + 1)
    for b in range(len(starts)):
        cash, held, side, entry, equity = 1.0, 0.0, 0.0, 1.0, 1.0
        for t in range(min(draws.shape[1] + 1, len(prices) - starts[b])):
            i = starts[b] + t
            states[b, t, 0], states[b, t, 1] = max(side, 0.0), max(-side, 0.0)
            if held != 0.0:
                states[b, t, 2] = min(max(math.log(max(equity, 1e-9) / entry) / unit, -5.0), 5.0)
            _forward(hidden[i], states[b, t], state, kernel, bias, logits)
            values[b, t] = logits[count]
            if t == draws.shape[1] or i + 1 == len(prices):
                break
            wanted = side
            if known[i]:
                chosen = _choose(logits[:count], draws[b, t])
                actions[b, t], flags[0, b, t] = chosen, True
                numbers[0, b, t] = logits[chosen] - math.log(np.exp(logits[:count]).sum())
                opens_small = sides[chosen] not in (0.0, side) and equity < minimal
                wanted = side if opens_small else sides[chosen]
                numbers[2, b, t] = wanted
            if wanted != side:
                opens = prices[i + 1, 0]
                entry = max(cash + held * opens, 1e-9)
                cash, held = _fill(cash, held, wanted, opens, fee, slippage)
                side = wanted
            after = cash + held * prices[i + 1, 1]
            numbers[1, b, t] = math.log(max(after, 1e-9) / max(equity, 1e-9))
            equity = after
            if equity <= ruin:
                flags[1, b, t] = True
                cash, held, side, entry, equity = 1.0, 0.0, 0.0, 1.0, 1.0


def _forward(hidden: Floats, seen: Floats, state: Floats, kernel: Floats, bias: Floats, outputs: Floats) -> None:
    """Write the outputs of the second layer for one candle."""
    outputs[:] = bias
    for k in range(len(hidden)):
        unit = math.tanh(hidden[k] + seen[0] * state[0, k] + seen[1] * state[1, k] + seen[2] * state[2, k])
        for j in range(len(outputs)):
            outputs[j] += unit * kernel[k, j]


def _choose(logits: Floats, draw: float) -> int:
    """The action of a uniform random number; of NaN the most probable one, of equals the first."""
    if math.isnan(draw):
        return int(np.argmax(logits))
    odds = np.exp(logits - logits.max())
    left = draw * odds.sum()
    for j in range(len(odds) - 1):
        left -= odds[j]
        if left < 0:
            return j
    return len(odds) - 1


def _fill(cash: float, held: float, side: float, opens: float, fee: float, slippage: float) -> tuple[float, float]:
    """Cash and signed quantity after all of the equity was turned to a side, as `ml.trading.account` does."""
    goal = 0.0
    if side != 0.0:
        price = opens * (1 + slippage * side)
        left = cash + held * price - fee * price * abs(held) * (held * side < 0)
        goal = side * max(left, 0.0) / (price * (1 + fee))
    signed = goal - held
    price = opens * (1 + math.copysign(slippage, signed))
    return cash - signed * price - fee * price * abs(signed), goal
