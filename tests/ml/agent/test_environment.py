"""The environment of an agent: its gains are those of the ledger, and it knows nothing of later candles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.agent.environment import Head, Market, deterministic_targets, play
from ml.agent.settings import PRESETS, AgentSettings
from ml.data.targets import Floats
from ml.trading.daily import daily_log_gains
from ml.trading.ledger import run_ledger
from tests.trading import market, times_of

UNITS = 8
#: Long and short, long only, with slippage, free, and with the end of an episode and a smallest trade.
VARIANTS = (
    AgentSettings(),
    AgentSettings(long_only=True),
    AgentSettings(fee=0.002, slippage=0.001),
    AgentSettings(fee=0.0),
    AgentSettings(fee=0.02, ruin=0.7),
    AgentSettings(fee=0.02, minimal_trade=0.8),
    PRESETS["bitcoin_factory"],
)


def world(rows: int, seed: int, known: float = 0.9) -> tuple[Market, Floats]:
    """Candles, some without a known window, and random inputs of the second layer."""
    random = np.random.default_rng(seed)
    candles = market(rows, seed)
    return Market(candles, times_of(candles), random.random(rows) < known, 0.02), random.normal(0, 2, (rows, UNITS))


def a_head(settings: AgentSettings, seed: int = 0) -> Head:
    """A policy that often changes its mind, also because of its position and open gain."""
    random = np.random.default_rng(seed)
    outputs = len(settings.sides) + 1
    return Head(random.normal(0, 1, (3, UNITS)), random.normal(0, 1, (UNITS, outputs)), np.zeros(outputs))


def test_the_reward_is_the_logarithmic_gain_of_the_ledger() -> None:
    turned, ended = 0, 0
    for settings in VARIANTS:
        for seed in range(4):
            candles, hidden = world(300, seed)
            target, gain = deterministic_targets(candles, hidden, a_head(settings), settings)
            ledger = run_ledger(candles.candles, candles.open_time_ms, target, cash=1.0, costs=settings.costs)
            is_ended = bool((ledger.equity <= settings.ruin).any())
            last = int(np.argmax(ledger.equity <= settings.ruin)) if is_ended else len(target) - 1
            assert gain == pytest.approx(np.log(ledger.equity[last]), abs=1e-9), settings
            assert np.abs(ledger.position[last + 2 :]).sum() == 0 or not is_ended
            turned, ended = turned + len(ledger.trades), ended + is_ended
            if settings.long_only:
                assert (ledger.position >= 0).all()
    assert turned > 1000
    assert ended > 4


def test_every_reward_of_random_episodes_is_that_of_the_ledger() -> None:
    settings = AgentSettings(slippage=0.0005)
    candles, hidden = world(200, 5)
    starts = np.array([0, 50, 110], np.int64)
    draws = np.random.default_rng(1).random((3, 80))
    played = play(candles, hidden, a_head(settings), settings, starts, draws)
    for b, start in enumerate(starts):
        part = candles.between(start, start + 81)
        target = np.append(played.target[b], np.nan)
        ledger = run_ledger(part.candles, part.open_time_ms, target, cash=1.0, costs=settings.costs)
        by_candle = daily_log_gains(ledger.equity, 1.0, part.open_time_ms)  # candles of a day
        np.testing.assert_allclose(played.rewards[b], by_candle[1:], atol=1e-9)
    again = play(candles, hidden, a_head(settings), settings, starts, draws)
    assert (again.actions == played.actions).all()
    np.testing.assert_array_equal(again.states, played.states)
    assert len(np.unique(played.actions[played.present])) == 3


def test_an_open_gain_and_the_position_are_seen() -> None:
    settings = AgentSettings(fee=0.0)
    candles, hidden = world(120, 2, known=1.0)
    played = play(candles, hidden, a_head(settings), settings, np.zeros(1, np.int64), np.full((1, 119), np.nan))
    side = np.concatenate([[0.0], played.target[0, :-1]])
    np.testing.assert_array_equal(played.states[0, :, 0], side == 1)
    np.testing.assert_array_equal(played.states[0, :, 1], side == -1)
    # Without fees the gain of a position is the rise of the price since the open at which it began.
    first = int(np.flatnonzero(played.target[0] == 1)[0])
    gain = np.log(candles.candles[first + 1, 3] / candles.candles[first + 1, 0]) / candles.gain_unit
    assert played.states[0, first + 1, 2] == pytest.approx(np.clip(gain, -5, 5))


def test_actions_are_drawn_by_their_odds() -> None:
    settings = AgentSettings()
    candles, hidden = world(10, 0, known=1.0)
    outputs = Head(np.zeros((3, UNITS)), np.zeros((UNITS, 4)), np.log([0.2, 0.5, 0.3, 1.0]))
    draws = np.array([[0.1, 0.3, 0.65, 0.75, 0.999]])
    played = play(candles, hidden, outputs, settings, np.zeros(1, np.int64), draws)
    assert played.actions[0].tolist() == [0, 1, 1, 2, 2]
    np.testing.assert_allclose(np.exp(played.log_probability[0]), [0.2, 0.5, 0.5, 0.3, 0.3])


def test_targets_from_history_cut_at_any_candle_equal_those_of_the_whole() -> None:
    for settings in VARIANTS:
        candles, hidden = world(120, 3)
        whole, _ = deterministic_targets(candles, hidden, a_head(settings), settings)
        for cut in range(2, 120):
            part, _ = deterministic_targets(candles.between(0, cut), hidden[:cut], a_head(settings), settings)
            np.testing.assert_array_equal(part[: cut - 1], whole[: cut - 1])
    later = replace(candles, candles=np.vstack([candles.candles[:60], candles.candles[60:] * 2]))
    ahead, _ = deterministic_targets(later, hidden, a_head(settings), settings)
    np.testing.assert_array_equal(ahead[:60], whole[:60])


def test_where_the_window_is_unknown_the_position_is_kept() -> None:
    settings = AgentSettings()
    candles, hidden = world(200, 4, known=0.5)
    target, _ = deterministic_targets(candles, hidden, a_head(settings), settings)
    np.testing.assert_array_equal(np.isnan(target[:-1]), ~candles.known[:-1])
