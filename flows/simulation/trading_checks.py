"""Checks of the signals and the paper trades of a rehearsal."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np

from flows.simulation.checks import Check
from flows.trading.sealed import candles_since, sealed_accounts, sealed_signals
from flows.trading.signals import active_signals, newest_rules, place_of, signal_key
from flows.workspace.workspace import Workspace
from ml.data.dataset_pointers import current_datasets
from ml.execution.results import read_results
from ml.forecasting.chain import Chain
from ml.promotion.finalists import learns_close
from ml.series import Series
from ml.timeframes import utc_ms
from ml.trading.ledger import CASH, Ledger, run_ledger
from ml.trading.paper import DELAY, Paper, SealedSignal, new_account, placed, trade_on_paper
from ml.trading.selection import Trader

#: Paper and backtest are equal to this share of the balance: to the cent of 10,000.
CENT = 1e-6


def check_trading(workspace: Workspace) -> list[Check]:
    """Run all checks on the sealed signals and transactions of a home; without a rule whether there could be one."""
    rules = newest_rules(workspace.store)
    if not rules:
        could = any(
            learns_close(row)
            for dataset in current_datasets(workspace.store).values()
            for row in read_results(workspace.store, dataset)
        )
        return [Check("trading rules", not could, "none was chosen" if could else "none: no case learns the close")]
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        traded = [
            _Traded(connection, series, trader)
            for series, traders in active_signals(workspace.settings).items()
            for trader in traders
            if place_of(signal_key(series, trader)) in rules
        ]
    return [_signals(traded), _sealed_before(workspace), _equal(traded)]


class _Traded:
    """A signal of a series: its sealed records, and the candles since the first of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, series: Series, trader: Trader) -> None:
        self.name, self.trader = f"{series} {trader.signal.name}", trader
        key = signal_key(series, trader)
        self.signals: list[SealedSignal] = sealed_signals(connection, key, trader.key)
        self.sealed = sealed_accounts(connection, key, trader.key)
        since_ms = min((one.placed_ms for one in self.signals), default=0)
        self.candles, self.times = candles_since(connection, series, since_ms)

    def on_paper(self) -> Paper:
        """The paper trades as they were sealed."""
        account = new_account(CASH, self.trader.costs, self.trader.signal.horizon)
        return trade_on_paper(account, self.candles, self.times, self.signals, self.sealed)

    def in_backtest(self) -> Ledger:
        """The same signals through the ledger of backtests."""
        orders = placed(self.signals, self.times)
        of_candle = [orders[time].order if time in orders else None for time in self.times]

        def column(name: str) -> np.ndarray:
            return np.array([np.nan if one is None else getattr(one, name) for one in of_candle], dtype=np.float64)

        return run_ledger(
            self.candles,
            np.array(self.times),
            column("side"),
            cash=CASH,
            costs=self.trader.costs,
            fraction=column("fraction"),
            stop=column("stop"),
            take_profit=column("take_profit"),
            horizon=self.trader.signal.horizon or None,
            delay=DELAY,
        )


def _signals(traded: list[_Traded]) -> Check:
    """At most one signal per candle."""
    counts = [len(one.signals) for one in traded]
    twice = [one.name for one in traded if len({s.record["open_time"] for s in one.signals}) < len(one.signals)]
    scored = sum(s.record["score"] is not None for one in traded for s in one.signals)
    detail = f"{sum(counts):,} signals of {len(counts)} rules, {scored:,} with a score"
    if twice or not scored:
        detail += f"; twice: {', '.join(twice[:3]) or 'none'}"
    return Check("one signal per candle", not twice and scored > 0, detail)


def _sealed_before(workspace: Workspace) -> Check:
    """Every order was sealed before the candle opened that filled it."""
    issued = {one["hash"]: utc_ms(one["body"]["issued_at"]) for one in Chain(workspace.store, "signals").records()}
    fills = [one["body"] for one in Chain(workspace.store, "transactions").records() if one["body"]["signal_hash"]]
    late = [body for body in fills if issued[body["signal_hash"]] > utc_ms(body["open_time"])]
    return Check("orders sealed before their price", not late, f"{len(fills):,} transactions, {len(late)} late")


def _equal(traded: list[_Traded]) -> Check:
    """The paper trades equal the backtest of the same signals, where no candle of a transaction was revised."""
    compared, revised, differ = 0, 0, []
    for one in traded:
        if not one.signals:
            continue
        paper = one.on_paper()
        if paper.revised:
            revised += 1
            continue
        compared += 1
        if any(_differences(paper, one.in_backtest())):
            differ.append(one.name)
    detail = f"{compared} rules compared, {revised} with a revised candle"
    if differ:
        detail += f"; different: {', '.join(differ[:3])}"
    return Check("paper equals backtest", not differ and compared > 0, detail)


def _differences(paper: Paper, backtest: Ledger) -> Iterator[bool]:
    ours = paper.ledger(CASH)
    equity = backtest.equity[-len(ours.equity) :]
    yield not np.allclose(ours.equity, equity, rtol=CENT, atol=0)
    yield len(ours.fills) != len(backtest.fills)
    yield bool(paper.unsealed)
