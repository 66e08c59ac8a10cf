"""Every hour: paper trades of the candles that have closed, then the signals at the close of the newest ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb
import numpy as np

from flows.forecasting.anchor import anchor_heads
from flows.ingestion.exchange import exchange_time_ms
from flows.trading.scoring import SeriesScorer
from flows.trading.sealed import candles_since, sealed_accounts, sealed_signals
from flows.trading.signals import Place, SealedRule, active_signals, newest_rules, place_of, signal_key
from flows.trading.tables import clear_part, write_active_signals, write_part
from flows.warehouse.load import last_time_ms, load_into
from flows.workspace.workspace import Workspace
from ml.data.targets import Floats
from ml.forecasting.seals import TRADING_CHAINS
from ml.series import Series
from ml.timeframes import milliseconds, utc_ms, utc_text
from ml.trading.ledger import CASH
from ml.trading.paper import DELAY, Paper, SealedSignal, fill_rows, new_account, trade_on_paper
from ml.trading.paper_part import PAPER, PaperPart
from ml.trading.records import SignalRecord, TransactionRecord
from ml.trading.selection import Trader


class Traded(NamedTuple):
    """Numbers of new signals and transactions."""

    signals: int
    transactions: int


def trade_all(workspace: Workspace) -> Traded:
    """Seal the transactions of the candles that have closed, and a signal for every newest candle without one.

    The warehouse is locked from reading the earlier records until the last seal, so that of two runs at the same time
    the second one finds those of the first. Signals without a valid rule are left out; the nightly run chooses it.
    """
    active = active_signals(workspace.settings)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, workspace)
        keys = [(signal_key(series, one), one.key) for series, chosen in active.items() for one in chosen]
        write_active_signals(connection, keys)
        hour = _Hour(workspace, connection)
        for series, chosen in active.items():
            longest = max((one.signal.memory for one in chosen), default=1)
            scorer = SeriesScorer(workspace, connection, series, longest)
            hour.read_clock()
            for trader in chosen:
                hour.trade(scorer, trader)
        load_into(connection, workspace)
    if hour.signals or hour.transactions:
        anchor_heads(workspace.store, workspace.settings.seal, hour.now_ms, TRADING_CHAINS)
    return Traded(hour.signals, hour.transactions)


class _Hour:
    """One run over all signals."""

    def __init__(self, workspace: Workspace, connection: duckdb.DuckDBPyConnection) -> None:
        self._workspace, self._connection = workspace, connection
        self._chains = {name: workspace.chain(name) for name in ("signals", "transactions")}
        self._rules: Mapping[Place, SealedRule] = newest_rules(workspace.store)
        # Stamps must never decrease, also where another source with a slower clock answers.
        self.now_ms = last_time_ms(connection, "signals", "issued_at")
        self.signals = self.transactions = 0

    def trade(self, scorer: SeriesScorer, trader: Trader) -> None:
        """Transactions and signal of one signal of a series."""
        series, key = scorer.series, signal_key(scorer.series, trader)
        newest_ms = scorer.newest_open_ms
        if newest_ms is None:
            return
        signals = sealed_signals(self._connection, key, trader.key)
        if signals:
            self._settle(series, trader, signals)
        else:
            clear_part(self._connection, key, PAPER)
        rule = self._rules.get(place_of(key))
        if rule is None or rule.record["signal_key"] != trader.key:
            return
        if signals and utc_ms(signals[-1].record["open_time"]) >= newest_ms:
            return
        if self.now_ms >= newest_ms + 2 * milliseconds(series.timeframe):
            return  # the candle after it has closed and is missing: its signal would be of the past
        unsealed = scorer.signal_record(trader, rule.record, rule.hash)
        record: SignalRecord = {**key, **unsealed, "issued_at": utc_text(self.now_ms)}
        self._chains["signals"].append(record)
        self.signals += 1

    def read_clock(self) -> None:
        """Ask for the exchange's time, which stamps all records until the next call."""
        self.now_ms = max(self.now_ms, exchange_time_ms(self._workspace.settings))

    def _settle(self, series: Series, trader: Trader, signals: Sequence[SealedSignal]) -> None:
        """Trade the signals through the closed candles: seal new transactions, replace the rows of the part paper."""
        key = signal_key(series, trader)
        candles, times = candles_since(self._connection, series, min(one.placed_ms for one in signals))
        sealed = sealed_accounts(self._connection, key, trader.key)
        paper = self._traded(trader, candles, times, signals, sealed)
        if not paper.steps:
            return
        for number, account in paper.unsealed:
            signal = paper.signals[max(number - 1 - DELAY, 0)]
            body: TransactionRecord = {
                **key,
                "signal_key": trader.key,
                "signal_hash": signal.hash if signal else None,
                "open_time": utc_text(paper.open_time_ms[number]),
                "fills": fill_rows(paper.steps[number]),
                "balance": paper.steps[number].equity,
                "account": account,
                "sealed_at": utc_text(self.now_ms),
            }
            self._chains["transactions"].append(body)
            self.transactions += 1
        gross = self._traded(trader.at_fee(0.0), candles, times, signals, {})
        n, length = len(paper.steps), milliseconds(series.timeframe)
        part = PaperPart(trader, (paper, gross), candles[-n:], np.array(times[-n:]), length)
        write_part(self._connection, key, PAPER, part.figures, part.equity, part.trades)

    @staticmethod
    def _traded(
        trader: Trader,
        candles: Floats,
        times: Sequence[int],
        signals: Sequence[SealedSignal],
        sealed: Mapping[int, str],
    ) -> Paper:
        account = new_account(CASH, trader.costs, trader.signal.horizon)
        return trade_on_paper(account, candles, times, signals, sealed)
