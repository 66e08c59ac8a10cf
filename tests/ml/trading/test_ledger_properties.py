"""Properties of the ledger for every rule, with all its options: identities, symmetries, causality, resumption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.candle_columns import CLOSE, HIGH, LOW, VOLUME
from ml.data.targets import Floats
from ml.trading import ledger as ledger_module
from ml.trading.account import Account
from ml.trading.ledger import Costs, Ledger
from ml.trading.orders import HOLD, Order
from ml.trading.sizing import Sizing
from tests.trading import CASH, MARKETS, ROWS, RULES, Orders, Rule, market

FIXED = Sizing("fixed", 3.0)


@settings(max_examples=80, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_cash_and_position_of_the_fills_are_the_equity_and_the_gain_is_that_of_the_trades(
    rule: Rule, candles: Floats
) -> None:
    ledger = rule.run(candles)
    signs = {"buy": 1, "sell": -1}
    cash, held = np.zeros(ROWS), np.zeros(ROWS)
    for fill in ledger.fills:
        cash[fill.bar] -= signs[fill.side] * fill.qty * fill.price + fill.fee
        held[fill.bar] += signs[fill.side] * fill.qty
    np.testing.assert_allclose(np.cumsum(held), ledger.position, atol=1e-9)
    np.testing.assert_allclose(CASH + np.cumsum(cash) + np.cumsum(held) * candles[:, CLOSE], ledger.equity, rtol=1e-9)
    gain = ledger.equity[-1] - CASH
    assert gain == pytest.approx(sum(trade.pnl for trade in ledger.trades), abs=1e-8)
    for name in ("fees", "slippage"):
        paid = sum(getattr(fill, name.removesuffix("s") if name == "fees" else name) for fill in ledger.fills)
        assert paid == pytest.approx(sum(getattr(trade, name) for trade in ledger.trades), abs=1e-9)
    closed = [trade for trade in ledger.trades if trade.exit_bar is not None]
    assert len(ledger.trades) - len(closed) == ledger.exposed[-1]


@settings(max_examples=80, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_fills_are_within_the_candle_by_price_volume_and_reason(rule: Rule, candles: Floats) -> None:
    ledger = rule.run(candles)
    filled = np.zeros(ROWS)
    for fill in ledger.fills:
        reference = fill.price + (fill.slippage / fill.qty) * (1 if fill.side == "sell" else -1)
        assert candles[fill.bar, LOW] * (1 - 1e-12) <= reference <= candles[fill.bar, HIGH] * (1 + 1e-12)
        filled[fill.bar] += fill.qty
    if rule.costs.volume_share is not None:
        assert (filled <= rule.costs.volume_share * candles[:, VOLUME] * (1 + 1e-12)).all()
    reasons = {fill.reason for fill in ledger.fills}
    assert rule.stop is not None or "stop" not in reasons
    assert rule.take_profit is not None or "target" not in reasons
    assert rule.horizon is not None or "horizon" not in reasons
    if rule.horizon is not None and rule.costs.volume_share is None:
        ends = [ROWS - 1 if trade.exit_bar is None else trade.exit_bar for trade in ledger.trades]
        lengths = [end - trade.entry_bar for end, trade in zip(ends, ledger.trades, strict=True)]
        assert all(length <= rule.horizon for length in lengths)


@settings(max_examples=60, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_ten_times_the_price_and_the_cash_are_ten_times_the_equity(rule: Rule, candles: Floats) -> None:
    orders = rule.orders(candles)
    dear = replace(rule, costs=replace(rule.costs, fee=tuple((10 * least, rate) for least, rate in rule.costs.fee)))
    levels = {
        name: None if levels is None else 10 * levels
        for name, levels in (("stop", orders.stop), ("take_profit", orders.take_profit))
    }
    found = dear.run(candles * [10, 10, 10, 10, 1], cash=10 * CASH, orders=replace(orders, **levels))
    plain = rule.run(candles)
    np.testing.assert_allclose(found.equity, 10 * plain.equity, rtol=1e-9)
    assert [(fill.bar, fill.side, fill.reason) for fill in found.fills] == [
        (fill.bar, fill.side, fill.reason) for fill in plain.fills
    ]


@settings(max_examples=60, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_without_costs_the_mirrored_market_gains_the_same_from_the_opposite_side(rule: Rule, candles: Floats) -> None:
    free = replace(rule, sizing=FIXED, costs=Costs(((0.0, 0.0),), volume_share=rule.costs.volume_share))
    orders = free.orders(candles)
    axis = 2 * candles[:, HIGH].max()
    mirrored = axis - candles[:, [0, LOW, HIGH, CLOSE]]
    opposite = Orders(
        -orders.target,
        orders.quantity,
        stop=None if orders.stop is None else axis - orders.stop,
        take_profit=None if orders.take_profit is None else axis - orders.take_profit,
    )
    plain = free.run(candles, orders=orders)
    found = free.run(np.column_stack([mirrored, candles[:, VOLUME]]), orders=opposite)
    np.testing.assert_allclose(found.equity - CASH, plain.equity - CASH, atol=1e-8)
    np.testing.assert_allclose(found.position, -plain.position, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_a_higher_fee_or_slippage_never_leaves_more(rule: Rule, candles: Floats) -> None:
    if rule.sizing.kind in ("fraction", "volatility"):  # a part of the equity: after a loss less is at risk
        rule = replace(rule, sizing=FIXED)
    for worse in (Costs.flat, lambda rate: Costs.flat(0.0, rate)):
        ends = [replace(rule, costs=worse(rate)).run(candles).equity[-1] for rate in (0.0, 0.001, 0.01)]
        assert ends[0] >= ends[1] - 1e-9 and ends[1] >= ends[2] - 1e-9


@settings(max_examples=60, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_a_delay_without_levels_is_the_same_targets_later(rule: Rule, candles: Floats) -> None:
    plain = replace(rule, stop=None, take_profit=None, horizon=None)
    orders = plain.orders(candles)
    later = Orders(*(None if rows is None else _shifted(rows, plain.delay) for rows in vars(orders).values()))
    shifted = replace(plain, delay=0).run(candles, orders=later)
    assert plain.run(candles, orders=orders).fills == shifted.fills


def _shifted(rows: Floats, count: int) -> Floats:
    return np.concatenate([np.full(count, np.nan), rows[: len(rows) - count]])


def assert_causal(rule: Rule, candles: Floats) -> None:
    """Orders from the history up to each candle, traded as long as they alone matter, equal the whole run to the bit.

    A cut run that ended with the cut would not fill the last order, and a rule that knows a single candle of the future
    would pass.
    """
    whole = rule.run(candles)
    for cut in range(1, len(candles)):
        count = min(cut + 1 + rule.delay, len(candles))
        orders = rule.orders(candles[:cut])
        padded = Orders(*(None if rows is None else _padded(rows, count) for rows in vars(orders).values()))
        found = rule.run(candles[:count], orders=padded)
        np.testing.assert_array_equal(found.equity, whole.equity[:count])
        np.testing.assert_array_equal(found.position, whole.position[:count])
        assert found.fills == [fill for fill in whole.fills if fill.bar < count]
        assert _ended(found, count) == _ended(whole, count)


def _padded(rows: Floats, count: int) -> Floats:
    return np.concatenate([rows, np.full(count - len(rows), np.nan)])


def _ended(ledger: Ledger, count: int) -> list[object]:
    return [trade for trade in ledger.trades if trade.exit_bar is not None and trade.exit_bar < count]


@settings(max_examples=30, deadline=None)
@given(rule=RULES, candles=MARKETS)
def test_the_past_does_not_know_the_future(rule: Rule, candles: Floats) -> None:
    assert_causal(rule, candles)


@pytest.mark.parametrize("looks_ahead", ["target", "quantity", "fraction", "stop", "take_profit"])
def test_a_rule_that_knows_one_candle_of_the_future_is_found(looks_ahead: str) -> None:
    sizings = {"quantity": Sizing("confidence", 2.0), "fraction": Sizing("volatility", span=3)}
    levels = {"stop": {"stop": 0.03}, "take_profit": {"take_profit": 0.04}}
    rule = Rule(sizing=sizings.get(looks_ahead, Sizing()), **levels.get(looks_ahead, {}))
    assert_causal(rule, market(ROWS, 1))
    with pytest.raises(AssertionError):
        assert_causal(replace(rule, looks_ahead=looks_ahead), market(ROWS, 1))


def test_an_engine_that_fills_an_order_one_candle_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = ledger_module._orders

    def early(*columns: Floats | None) -> Iterator[Order]:
        orders = list(genuine(*columns))  # type: ignore[arg-type]
        return iter([*orders[1:], HOLD])

    monkeypatch.setattr(ledger_module, "_orders", early)
    with pytest.raises(AssertionError):
        assert_causal(Rule(), market(ROWS, 1))


@settings(max_examples=60, deadline=None)
@given(rule=RULES, candles=MARKETS, every=st.integers(1, 7))
def test_an_account_that_is_stored_and_read_at_any_candle_continues_to_the_bit(
    rule: Rule, candles: Floats, every: int
) -> None:
    whole, orders, account = rule.run(candles), rule.orders(candles), rule.account()
    fills, trades, equity = [], [], []
    placed = ledger_module._orders(**vars(orders))
    for bar, (candle, order) in enumerate(zip(candles.tolist(), placed, strict=True)):
        step = account.advance(candle, bar * 86_400_000, order)
        fills, trades, equity = [*fills, *step.fills], [*trades, *step.trades], [*equity, step.equity]
        if bar % every == 0:
            stored = json.dumps(account.to_record(), allow_nan=False)
            account = Account.from_record(json.loads(stored))
            assert json.dumps(account.to_record(), allow_nan=False) == stored
    assert (fills, equity) == (whole.fills, whole.equity.tolist())
    still_open = account.open_trade(float(candles[-1, CLOSE]))
    assert trades + ([] if still_open is None else [still_open]) == whole.trades
