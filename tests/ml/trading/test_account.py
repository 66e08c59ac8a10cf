"""The account: small cases worked by hand, in the comment above each, and its record."""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from ml.timeframes import DAY_MS
from ml.trading.account import Account
from ml.trading.ledger import Costs, Ledger, run_ledger
from ml.trading.orders import HOLD, Order
from ml.trading.sizing import Sizing

NAN = math.nan
FEE = Costs.flat(0.001)
FREE = Costs.flat(0.0)
#: Open, high, low, close of two quiet candles: the first takes the order, the second fills it at 100.
START = [[100, 100, 100, 100], [100, 104, 99, 102]]


def traded(prices: list[list[float]], target: list[float], costs: Costs = FEE, **options: Any) -> Ledger:
    """A run over daily candles with 1,000 in cash and the first order's options on all rows."""
    candles = np.array([[*row, 1000.0][:5] if len(row) == 4 else row for row in prices], float)
    times = np.arange(len(candles), dtype=np.int64) * DAY_MS
    by_row = {
        name: value if name in ("horizon", "delay") else np.broadcast_to(np.asarray(value, float), len(candles))
        for name, value in options.items()
    }
    padded = np.array(target + [NAN] * (len(candles) - len(target)))
    return run_ledger(candles, times, padded, cash=1000.0, costs=costs, **by_row)


def assert_fills(ledger: Ledger, *wanted: tuple[Any, ...]) -> None:
    """Compare fills with (bar, side, quantity, price, fee, slippage, reason)."""
    assert len(ledger.fills) == len(wanted), ledger.fills
    for fill, expected in zip(ledger.fills, wanted, strict=True):
        found = astuple(fill)
        assert (found[0], found[1], found[6]) == (expected[0], expected[1], expected[6])
        assert found[2:6] == pytest.approx(expected[2:6], rel=1e-12, abs=1e-12)


def test_a_stop_is_hit_within_the_candle() -> None:
    # Buy 2 @ 100, fee .2: cash 799.8. Bar 2 falls from 102 to 94: sell 2 @ 95, fee .19: 989.61; P&L -10 - .39.
    ledger = traded([*START, [102, 103, 94, 96]], [1], quantity=2, stop=95)
    assert_fills(ledger, (1, "buy", 2, 100, 0.2, 0, "signal"), (2, "sell", 2, 95, 0.19, 0, "stop"))
    assert ledger.equity == pytest.approx([1000, 1003.8, 989.61])
    (trade,) = ledger.trades
    assert (trade.exit_bar, trade.entry_reason, trade.exit_reason) == (2, "signal", "stop")
    assert (trade.pnl, trade.ret, trade.fees) == pytest.approx((-10.39, -10.39 / 200.2, 0.39))
    assert (trade.entry_price, trade.exit_price, trade.balance) == pytest.approx((100, 95, 989.61))
    assert trade.exit_turnover == pytest.approx(190 / 989.8)


def test_a_target_is_hit_within_the_candle() -> None:
    # Sell 2 @ 105, fee .21: 799.8 + 210 - .21.
    ledger = traded([*START, [102, 106, 96, 104]], [1], quantity=2, stop=95, take_profit=105)
    assert_fills(ledger, (1, "buy", 2, 100, 0.2, 0, "signal"), (2, "sell", 2, 105, 0.21, 0, "target"))
    assert ledger.equity[-1] == pytest.approx(1009.59)


def test_a_short_position_is_liquidated_where_closing_it_leaves_nothing() -> None:
    # Short 5 @ 100 x .99 = 99, fee .495: cash 1494.505. 5 x L x 1.01 x 1.001 = 1494.505 at L = 295.64...
    last = 1494.505 / (5 * 1.01 * 1.001)
    quiet = [last - 1] * 4
    ledger = traded(
        [*START, [last - 2, last - 1e-6, 99, 100], [100, last + 1, 99, 100], quiet], [-1, NAN, NAN, 1, -1],
        Costs.flat(0.001, 0.01), quantity=5,
    )  # fmt: skip
    sold, bought = ledger.fills
    assert sold.reason == "signal" and (bought.bar, bought.reason) == (3, "liquidation")
    assert bought.price == pytest.approx(last * 1.01, rel=1e-12)
    assert ledger.equity[2] > 0 and ledger.equity[3:] == pytest.approx([0, 0], abs=1e-9)
    assert (ledger.equity[3:] <= 0).all(), "rounding is no capital"
    assert ledger.trades[0].exit_reason == "liquidation" and ledger.trades[0].pnl == pytest.approx(-1000)
    assert len(ledger.trades) == 1, "an account without equity opens nothing"


def test_a_larger_long_position_is_liquidated_too_and_a_nearer_stop_comes_first() -> None:
    # Buy 20 @ 100 with 1,000: cash -1,000; 20 x 50 = 1,000.
    fall = [[100, 100, 40, 90], [90, 90, 90, 90]]
    ledger = traded([*START, *fall], [1], FREE, quantity=20)
    assert_fills(ledger, (1, "buy", 20, 100, 0, 0, "signal"), (2, "sell", 20, 50, 0, 0, "liquidation"))
    assert ledger.equity[-1] == 0
    ledger = traded([*START, *fall], [1], FREE, quantity=20, stop=60)
    assert_fills(ledger, (1, "buy", 20, 100, 0, 0, "signal"), (2, "sell", 20, 60, 0, 0, "stop"))
    ledger = traded([*START, *fall], [1], FREE, quantity=20, stop=45)
    assert ledger.fills[1].reason == "liquidation" and ledger.fills[1].price == 50


def test_a_gap_through_the_price_of_liquidation_leaves_debts_and_nothing_is_opened_with_them() -> None:
    # Short 10 @ 100: cash 2,000; bought at the open of 250, beyond the 200: debts of 500. A tenth of the volume of 10
    # may fill, but the exchange takes over all of it.
    candles = [[100, 100, 100, 100, 1000], [100, 104, 99, 102, 100], [250, 250, 250, 250, 10], [90, 90, 90, 90, 1000]]
    ledger = traded([*candles, candles[-1]], [-1, NAN, 1], Costs(FREE.fee, volume_share=0.1), quantity=10)
    assert [(fill.bar, fill.qty, fill.reason) for fill in ledger.fills] == [(1, 10, "signal"), (2, 10, "liquidation")]
    assert ledger.equity.tolist()[2:] == [-500, -500, -500]


@pytest.mark.parametrize(("side", "level"), [(1, 95), (-1, 105)])
def test_of_stop_and_target_in_one_candle_the_stop_counts(side: int, level: float) -> None:
    # Both levels are reached in bar 2. 2 units lose 10; fees .2 and .001 x 2 x level.
    ledger = traded([*START, [101, 106, 94, 104]], [side], quantity=2, stop=level, take_profit=200 - level)
    assert [fill.reason for fill in ledger.fills] == ["signal", "stop"]
    assert ledger.equity[-1] == pytest.approx(1000 - 10 - 0.2 - 0.002 * level)


def test_a_gap_through_the_stop_fills_at_the_open_and_slippage_worsens_it() -> None:
    # Short 2 @ 100 x .99 = 99, fee .198: cash 1197.802, slippage 2. Bar 2 opens at 108, above the stop of 105:
    # buy 2 @ 108 x 1.01 = 109.08, fee .21816: cash 1197.802 - 218.16 - .21816 = 979.42384, slippage 2.16.
    ledger = traded([*START, [108, 109, 107, 107]], [-1], Costs.flat(0.001, 0.01), quantity=2, stop=105)
    assert_fills(
        ledger, (1, "sell", 2, 99, 0.198, 2, "signal"), (2, "buy", 2, 109.08, 0.21816, 2.16, "stop")
    )  # fmt: skip
    assert ledger.equity[-1] == pytest.approx(979.42384)
    assert ledger.trades[0].slippage == pytest.approx(4.16)


def test_a_gap_through_the_target_fills_at_the_better_open_even_if_the_stop_is_hit_later() -> None:
    # The open of 107 is known to come before the low of 90.
    ledger = traded([*START, [107, 108, 90, 91]], [1], FREE, quantity=2, stop=95, take_profit=105)
    assert_fills(ledger, (1, "buy", 2, 100, 0, 0, "signal"), (2, "sell", 2, 107, 0, 0, "target"))


def test_levels_count_from_the_candle_of_the_entry_and_end_with_the_position() -> None:
    # Bar 1 itself falls to 99: sell 2 @ 99.5. The stop is then gone: the fall of bar 2 does nothing.
    ledger = traded([*START, [102, 103, 94, 96]], [1], FREE, quantity=2, stop=99.5)
    assert_fills(ledger, (1, "buy", 2, 100, 0, 0, "signal"), (1, "sell", 2, 99.5, 0, 0, "stop"))
    assert not ledger.exposed.any()


def test_a_turn_replaces_the_levels() -> None:
    # Long with a stop of 95 until the turn at 102 in bar 2; the short has a stop of 110, so 94 is a gain.
    ledger = traded(
        [*START, [102, 103, 94, 96], [96, 111, 95, 100]], [1, -1], FREE, quantity=2, stop=[95, 110, NAN, NAN]
    )
    assert_fills(
        ledger,
        (1, "buy", 2, 100, 0, 0, "signal"),
        (2, "sell", 4, 102, 0, 0, "signal"),
        (3, "buy", 2, 110, 0, 0, "stop"),
    )


def test_after_a_stop_the_next_target_of_the_same_side_opens_again() -> None:
    # The target is 1 at every close. Stopped in bar 2; the target of the close of bar 2 fills at the open of bar 3.
    ledger = traded([*START, [102, 103, 94, 96], [97, 98, 96, 97]], [1, 1, 1], FREE, quantity=1, stop=95)
    assert [(fill.bar, fill.price, fill.reason) for fill in ledger.fills] == [
        (1, 100, "signal"), (2, 95, "stop"), (3, 97, "signal")
    ]  # fmt: skip


def test_the_horizon_closes_at_the_open_and_repeated_targets_do_not_extend_it() -> None:
    # Bought in bar 1, horizon 2: sold at the open of bar 3, though the targets of bars 1 and 2 are long as well. The
    # target of the close of bar 3 buys again in bar 4. 1 @ 100 -> 106, fees .1 and .106; then 1 @ 107, fee .107.
    prices = [*START, [103, 103, 103, 103], [106, 106, 106, 106], [107, 107, 107, 107]]
    ledger = traded(prices, [1, 1, 1, 1, NAN], quantity=1, horizon=2)
    assert_fills(
        ledger,
        (1, "buy", 1, 100, 0.1, 0, "signal"),
        (3, "sell", 1, 106, 0.106, 0, "horizon"),
        (4, "buy", 1, 107, 0.107, 0, "signal"),
    )
    assert ledger.equity[3] == pytest.approx(1005.794)


def test_an_order_that_is_due_when_the_horizon_ends_is_the_cause() -> None:
    prices = [*START, [103, 103, 103, 103], [106, 106, 106, 106]]
    ledger = traded(prices, [1, NAN, -1], FREE, quantity=1, horizon=2)
    assert_fills(ledger, (1, "buy", 1, 100, 0, 0, "signal"), (3, "sell", 2, 106, 0, 0, "signal"))


def test_by_confidence_the_amount_is_multiplied_above_52_percent_and_divided_below() -> None:
    # weight .5 x base 2 = 1. 70 %: x (1 + 18/90) = 1.2. 43 %: / (1 + 9/90) = .9090..
    # Buy 1.2 @ 100, fee .12; sell @ 102, fee .1224; then short .90909 @ 102, fee .0927272..
    sizes = Sizing("confidence", amount=2, weight=0.5).sizes(np.full(3, 100.0), DAY_MS, np.array([70.0, 43.0, NAN]))
    assert sizes.quantity is not None
    ledger = traded([*START, [102, 103, 100, 101]], [1, -1], quantity=sizes.quantity)
    assert_fills(
        ledger,
        (1, "buy", 1.2, 100, 0.12, 0, "signal"),
        (2, "sell", 1.2 + 1 / 1.1, 102, 0.1224 + 0.102 / 1.1, 0, "signal"),
    )
    assert ledger.trades[0].pnl == pytest.approx(2.4 - 0.12 - 0.1224)


def test_a_fraction_has_the_fee_inside_and_is_of_the_equity_at_the_fill() -> None:
    # Half of 1000 with the fee inside: 500 / 100.1 units @ 100. The turn at 102 sells them, and half of what is then
    # left: 1000 - fee of 500/1001 + 2 x 500/100.1 - fee of 102 x .5/100.1, over 2 x 102 x 1.001.
    ledger = traded([*START, [102, 103, 100, 101]], [1, -1], fraction=0.5)
    bought = 500 / 100.1
    left = 1000 - 500 * 0.1 / 100.1 + 2 * bought - 0.102 * bought
    sold = bought + left / 2 / (102 * 1.001)
    assert_fills(
        ledger, (1, "buy", bought, 100, 0.1 * bought, 0, "signal"), (2, "sell", sold, 102, 0.102 * sold, 0, "signal")
    )
    assert ledger.trades[0].balance == pytest.approx(left)


def test_a_delay_of_one_fills_one_open_later() -> None:
    # The target of bar 0 fills at the open of bar 2: 1000 / (102 x 1.001) units.
    ledger = traded([*START, [102, 103, 100, 101], [99, 99, 99, 99]], [1, 0], delay=1)
    units = 1000 / (102 * 1.001)
    assert_fills(
        ledger, (2, "buy", units, 102, 0.102 * units, 0, "signal"), (3, "sell", units, 99, 0.099 * units, 0, "signal")
    )


def test_a_stop_leaves_the_orders_that_wait() -> None:
    # Delay 1: bought at 102 in bar 2. The turn of bar 2 waits for bar 4; the stop of bar 3 does not cancel it.
    prices = [*START, [102, 103, 100, 101], [99, 99, 94, 95], [96, 97, 95, 96]]
    ledger = traded(prices, [1, NAN, -1], FREE, quantity=1, delay=1, stop=[95, NAN, NAN, NAN, NAN])
    assert_fills(
        ledger,
        (2, "buy", 1, 102, 0, 0, "signal"),
        (3, "sell", 1, 95, 0, 0, "stop"),
        (4, "sell", 1, 96, 0, 0, "signal"),
    )


def test_a_stop_beyond_the_volume_waits_for_the_next_open() -> None:
    # A tenth of the volume fills. Bar 1: 6 of 10 @ 100, which uses its volume up; its low of 90 is below the stop.
    # The rest of the entry is dropped; 4 @ 94 in bar 2, 2 @ 92 in bar 3: 376 + 184 - 600 = -40.
    prices = [[*START[0], 1000], [100, 101, 90, 95, 60], [94, 95, 93, 94, 40], [92, 92, 92, 92, 1000]]
    ledger = traded(prices, [1], Costs(((0.0, 0.0),), volume_share=0.1), quantity=10, stop=95)
    assert_fills(
        ledger,
        (1, "buy", 6, 100, 0, 0, "signal"),
        (2, "sell", 4, 94, 0, 0, "stop"),
        (3, "sell", 2, 92, 0, 0, "stop"),
    )
    (trade,) = ledger.trades
    assert (trade.exit_bar, trade.qty, trade.pnl, trade.exit_price) == (3, 6, -40, pytest.approx(560 / 6))


def test_an_order_for_a_side_that_a_stop_has_turned_to_already_changes_nothing() -> None:
    # Delay 1, a tenth of the volume: 10 bought in bar 2, stopped in bar 3, where 4 fill. The target of 0 that is due
    # in bar 4 is met: the rest is sold there because of the stop.
    prices = [
        [100, 100, 100, 100, 1000], [100, 100, 100, 100, 1000], [100, 101, 99, 100, 1000], [99, 99, 94, 95, 40],
        [93, 93, 93, 93, 1000],
    ]  # fmt: skip
    costs = Costs(((0.0, 0.0),), volume_share=0.1)
    ledger = traded(prices, [1, NAN, 0], costs, quantity=10, delay=1, stop=95)
    assert_fills(
        ledger,
        (2, "buy", 10, 100, 0, 0, "signal"),
        (3, "sell", 4, 95, 0, 0, "stop"),
        (4, "sell", 6, 93, 0, 0, "stop"),
    )


def test_the_tier_of_a_fee_is_set_before_the_candle() -> None:
    # The buy of 600 at the open of bar 1 does not lower the rate of the stop in the same candle: 6 x 99 x .01.
    costs = Costs(((0.0, 0.01), (600.0, 0.001)))
    ledger = traded(START, [1], costs, quantity=6, stop=99)
    assert [fill.fee for fill in ledger.fills] == pytest.approx([6.0, 5.94])


def test_the_volume_of_more_than_30_days_ago_sets_no_tier_and_is_forgotten() -> None:
    # The buy of 600 sets the lower rate until the day after the 30th.
    costs = Costs(((0.0, 0.01), (600.0, 0.001)))
    for days, rate in ((30, 0.001), (31, 0.01)):
        account = Account(1000.0, costs)
        candle = [100.0, 100.0, 100.0, 100.0, 1.0]
        account.advance(candle, 0, Order(1.0, quantity=6.0))
        account.advance(candle, DAY_MS, Order(0.0))
        (fill,) = account.advance(candle, DAY_MS * (days + 1)).fills
        assert fill.fee == pytest.approx(600 * rate)
        assert len(account.to_record()["volumes"]) == (2 if days == 30 else 1)


def test_a_position_that_is_ruined_is_closed_and_none_is_opened_after_it() -> None:
    # Short 10 @ 100 of 1000: at 250 the debt is 2500, the cash 2000. The turn to long has nothing to buy with.
    ledger = traded([*START, [250, 250, 250, 250], [250, 250, 250, 250]], [-1, 1, -1], FREE)
    assert [(fill.bar, fill.side) for fill in ledger.fills] == [(1, "sell"), (2, "buy")]
    assert ledger.equity[-1] == pytest.approx(-500)
    assert ledger.trades[0].exit_turnover is None


def test_the_record_says_where_an_account_is() -> None:
    account = Account(1000.0, FEE, horizon=3, delay=1)
    account.advance([100, 100, 100, 100, 1], 0, Order(1.0, fraction=0.5, stop=95.0))
    record = account.to_record()
    assert record["pending"] == [
        (2, {"side": 1.0, "quantity": None, "fraction": 0.5, "stop": 95.0, "take_profit": None})
    ]
    assert (account.bar, account.time_ms, account.cash, account.position, account.side) == (0, 0, 1000.0, 0.0, 0.0)
    assert account.open_trade(100.0) is None
    again = Account.from_record(json.loads(json.dumps(record, allow_nan=False)))
    for one in (account, again):
        one.advance([100, 100, 100, 100, 1], DAY_MS)
        one.advance([100, 100, 100, 100, 1], 2 * DAY_MS)
    assert again.to_record() == account.to_record()
    assert (again.side, again.position) == (1.0, 500 / 100.1)
    trade = again.open_trade(102.0)
    assert trade is not None
    assert (trade.exit_bar, trade.balance) == (None, again.equity(102.0))
    again.advance([100, 100, 90, 100, 1], 3 * DAY_MS)
    assert (again.position, again.to_record()["stop"], again.to_record()["side"]) == (0.0, None, 0.0)


@pytest.mark.parametrize(
    ("candle", "time_ms", "message"),
    [
        ([100, 100, NAN, 100, 1], 2 * DAY_MS, "a price is not above 0"),
        ([100, math.inf, 100, 100, 1], 2 * DAY_MS, "a price is not above 0"),
        ([100, 100, 100, 100, NAN], 2 * DAY_MS, "a volume is below 0 or unknown"),
        ([100, 100, 100, 100, 1], DAY_MS, "is not later than the one before"),
    ],
)
def test_a_candle_without_meaning_changes_nothing(candle: list[float], time_ms: int, message: str) -> None:
    account = Account(1000.0, Costs(volume_share=0.5))
    account.advance([100, 100, 100, 100, 1000], 0, Order(1.0))
    account.advance([100, 100, 100, 100, 1000], DAY_MS, HOLD)
    before = account.to_record()
    with pytest.raises(ValueError, match=message):
        account.advance(candle, time_ms, Order(-1.0))
    assert account.to_record() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cash": 0.0}, "the cash is not above 0"),
        ({"horizon": 0}, "give at least 1, or None for no end"),
        ({"delay": -1}, "give 0 for a fill at the next open, or more"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Account(**{"cash": 1000.0, "costs": FEE} | settings)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"side": 0.5}, "none of -1, 0, 1 and NaN"),
        ({"side": 1.0, "quantity": 0.0}, "no quantity above 0"),
        ({"side": 1.0, "quantity": NAN}, "no quantity above 0"),
        ({"side": 1.0, "fraction": NAN}, "no fraction above 0 and up to 1"),
        ({"side": 1.0, "fraction": 1.5}, "no fraction above 0 and up to 1"),
        ({"side": 1.0, "stop": 0.0}, "give NaN for none"),
        ({"side": 1.0, "take_profit": math.inf}, "give NaN for none"),
        ({"side": 1.0, "stop": 105.0, "take_profit": 95.0}, "it is below it for a long"),
        ({"side": -1.0, "stop": 95.0, "take_profit": 105.0}, "above it for a short position"),
    ],
)
def test_orders_without_meaning_are_refused(order: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Order(**order)
    # The remedy: an order that opens nothing needs neither size nor levels.
    assert not Order(**order | {"side": 0.0}).opens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fee": ()}, "give ascending ones, of which the first is 0"),
        ({"fee": ((1.0, 0.001),)}, "give ascending ones, of which the first is 0"),
        ({"fee": ((0.0, 0.001), (0.0, 0.002))}, "give ascending ones, of which the first is 0"),
        ({"fee": ((0.0, 1.0),)}, "give fractions, 0.001 for 0.1 %"),
        ({"slippage": -0.1}, "give fractions, 0.001 for 0.1 %"),
        ({"volume_share": 0.0}, "give a fraction, or None so that all fills"),
    ],
)
def test_costs_without_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Costs(**changes)
    assert Costs(volume_share=None).rate(0.0) == 0.001
