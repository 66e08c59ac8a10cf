"""Training of an agent: proximal policy optimisation with early stopping on the test part.

Source: Schulman et al., Proximal Policy Optimization Algorithms (2017); High-Dimensional Continuous Control Using
Generalized Advantage Estimation (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from keras import ops

from ml.agent.environment import Episodes, deterministic_targets, play
from ml.agent.parts import Parts, Range
from ml.agent.policy import Learning, Policy, Samples, Shape, policy_of
from ml.agent.settings import AgentSettings
from ml.data.targets import Floats

Stopped = Literal["patience", "iterations", "time"]


@dataclass(frozen=True)
class Limits:
    """The end of a training by time.

    Attributes:
        seconds: most seconds; infinite: no limit. A training that it ends is not repeatable to the bit.
        clock: seconds from any start.
    """

    seconds: float
    clock: Callable[[], float]


@dataclass(frozen=True, eq=False)
class Agent:
    """A trained policy.

    Attributes:
        settings: of the agent.
        policy: its network.
        weights: those of the iteration with the largest gain on the test part.
        test_gain: logarithmic gain there.
        iterations: number of that one.
        played: iterations in all.
        stopped: the cause of the end.
    """

    settings: AgentSettings
    policy: Policy
    weights: list[Any]
    test_gain: float
    iterations: int
    played: int
    stopped: Stopped

    def targets(self, parts: Parts, part: Range) -> Floats:
        """The sides (n,) that it orders at the closes of a part."""
        hidden = self.policy.hidden(self.weights, parts.table[: part[1]])[part[0] :]
        return deterministic_targets(
            parts.market.between(*part), hidden, self.policy.head(self.weights), self.settings
        )[0]


def train(parts: Parts, settings: AgentSettings, seed: int, limits: Limits) -> Agent:
    """Train an agent on the train part; the test part chooses the iteration.

    Args:
        parts: of the dataset.
        settings: of the agent.
        seed: of the weights, the episodes and the order of the samples.
        limits: of time.
    """
    policy = policy_of(Shape(settings.window, parts.table.shape[1], settings.units, len(settings.sides)))
    state, random = policy.first_state(seed), np.random.default_rng(seed)
    test = parts.market.between(*parts.test)
    padded = np.concatenate([np.zeros((settings.window - 1, parts.table.shape[1]), np.float32), parts.table])
    table = ops.convert_to_tensor(padded[: parts.train[1] + settings.window - 1])
    numbers = Learning(*(np.float32(one) for one in (settings.learning_rate, settings.clip, settings.entropy)))
    best, best_gain, chosen, played = state.weights, -np.inf, 0, 0
    stopped: Stopped = "iterations"
    begun = limits.clock()
    hidden = policy.hidden(state.weights, parts.table[: parts.test[1]])
    while played < settings.iterations:
        samples = _samples(parts, hidden, policy, state.weights, settings, random)
        order = _orders(len(samples.rows), settings, random)
        state = policy.update(state, table, Samples(*map(ops.convert_to_tensor, samples)), order, numbers)
        played += 1
        hidden = policy.hidden(state.weights, parts.table[: parts.test[1]])
        _, gain = deterministic_targets(test, hidden[parts.test[0] :], policy.head(state.weights), settings)
        if gain > best_gain:
            best, best_gain, chosen = state.weights, gain, played
        if played - chosen >= settings.patience:
            stopped = "patience"
            break
        if limits.clock() - begun > limits.seconds:
            stopped = "time"
            break
    return Agent(settings, policy, best, best_gain, chosen, played, stopped)


def _samples(
    parts: Parts, hidden: Floats, policy: Policy, weights: list[Any], settings: AgentSettings, random: Any
) -> Samples:
    """Play episodes from random candles of the train part."""
    first, stop = parts.train
    steps = min(settings.steps, stop - first - 1)
    starts = random.integers(first, stop - steps, settings.streams)
    draws = random.random((settings.streams, steps))
    episodes = play(parts.market.between(0, stop), hidden[:stop], policy.head(weights), settings, starts, draws)
    rewards = episodes.rewards / parts.market.gain_unit
    advantages = advantages_of(episodes, rewards, settings)
    present = episodes.present
    # As many in each update, so that one program serves: decisions are repeated in place of candles without one.
    places = np.flatnonzero(present)
    places = np.resize(places, present.size)
    rows = starts[:, None] + np.arange(steps)
    centred = advantages - advantages[present].mean()
    columns = (
        rows.astype(np.int32),
        episodes.states.reshape(-1, episodes.states.shape[2]).astype(np.float32),
        episodes.actions.astype(np.int32),
        episodes.log_probability.astype(np.float32),
        (centred / (advantages[present].std() + 1e-8)).astype(np.float32),
        (advantages + episodes.values[:, :-1]).astype(np.float32),
    )
    return Samples(*((one if one.ndim == 2 and one.shape[1] == 3 else one.reshape(-1))[places] for one in columns))


def advantages_of(episodes: Episodes, rewards: Floats, settings: AgentSettings) -> Floats:
    """Generalised advantage estimates (b, t) of rewards (b, t) in units of the value."""
    advantages = np.zeros(rewards.shape)
    following = np.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        goes_on = settings.discount * ~episodes.ended[:, t]
        error = rewards[:, t] + goes_on * episodes.values[:, t + 1] - episodes.values[:, t]
        following = error + goes_on * settings.trace * following
        advantages[:, t] = following
    return advantages


def _orders(count: int, settings: AgentSettings, random: Any) -> Any:
    """Places of samples (steps, batch) in the order of learning."""
    size = min(settings.batch_size, count)
    orders = [random.permutation(count)[: count // size * size].reshape(-1, size) for _ in range(settings.epochs)]
    return ops.convert_to_tensor(np.concatenate(orders).astype(np.int32))
