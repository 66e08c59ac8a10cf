"""Every hour: paper trades of the candles that have closed, then the signals at the close of the newest ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb
import numpy as np

from flows.ingestion.exchange import exchange_time_ms
from flows.trading.scoring import SeriesScorer
from flows.trading.signals import Place, SealedRule, newest_rules, place_of, signal_key, traders
from flows.trading.tables import write_part
from flows.warehouse.load import load_into
from flows.workspace.workspace import Workspace
from ml.forecasting.chain import Chain
from ml.series import Series
from ml.timeframes import milliseconds, utc_ms, utc_text
from ml.trading.account import AccountRecord
from ml.trading.paper import DELAY, Paper, SealedSignal, fill_rows, new_account, trade_on_paper
from ml.trading.records import SignalRecord, TransactionRecord
from ml.trading.selection import CASH, Trader
from ml.trading.summary import paper_outcome


class Traded(NamedTuple):
    """Numbers of new signals and transactions."""

    signals: int
    transactions: int


def trade_all(workspace: Workspace) -> Traded:
    """Seal the transactions of the candles that have closed, and a signal for every newest candle without one.

    The warehouse is locked from reading the earlier records until the last seal, so that of two runs at the same time
    the second one finds those of the first. Signals without a valid rule are left out; the nightly run chooses it.
    """
    configured = traders(workspace.settings)
    if not configured:
        return Traded(0, 0)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, workspace.store)
        hour = _Hour(workspace, connection)
        for series in workspace.settings.series():
            scorer = SeriesScorer(workspace, connection, series)
            for trader in configured:
                if trader.signal.concerns(series.symbol, series.timeframe):
                    hour.trade(scorer, trader)
        load_into(connection, workspace.store)
    return Traded(hour.signals, hour.transactions)


class _Hour:
    """One run over all signals."""

    def __init__(self, workspace: Workspace, connection: duckdb.DuckDBPyConnection) -> None:
        self._workspace, self._connection = workspace, connection
        self._chains = {name: Chain(workspace.store, name) for name in ("signals", "transactions")}
        self._rules: Mapping[Place, SealedRule] = newest_rules(workspace.store)
        # Stamps must never decrease, also where another source with a slower clock answers.
        self._issued_ms = _newest_ms(connection, "signals", "issued_at")
        self.signals = self.transactions = 0

    def trade(self, scorer: SeriesScorer, trader: Trader) -> None:
        """Transactions and signal of one signal of a series."""
        series, key = scorer.series, signal_key(scorer.series, trader)
        newest_ms = scorer.newest_open_ms
        if newest_ms is None:
            return
        signals = _sealed_signals(self._connection, key, trader.key)
        if signals:
            self._settle(series, trader, signals)
        rule = self._rules.get(place_of(key))
        if rule is None or rule.record["signal_key"] != trader.key:
            return
        if signals and utc_ms(signals[-1].record["open_time"]) >= newest_ms:
            return
        if self._now_ms() >= newest_ms + 2 * milliseconds(series.timeframe):
            return  # the candle after it has closed and is missing: its signal would be of the past
        record = scorer.signal_record(trader, rule.record, rule.hash)
        self._chains["signals"].append({**key, **record, "issued_at": utc_text(self._now_ms())})
        self.signals += 1

    def _now_ms(self) -> int:
        self._issued_ms = max(self._issued_ms, exchange_time_ms(self._workspace.settings))
        return self._issued_ms

    def _settle(self, series: Series, trader: Trader, signals: Sequence[SealedSignal]) -> None:
        """Trade the signals through the closed candles: seal new transactions, replace the rows of the part paper."""
        key = signal_key(series, trader)
        candles, times = _candles_since(self._connection, series, min(one.placed_ms for one in signals))
        sealed = _sealed_accounts(self._connection, key, trader.key)
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
                "account": json.dumps(account),
                "sealed_at": utc_text(self._now_ms()),
            }
            self._chains["transactions"].append(body)
            self.transactions += 1
        gross = self._traded(trader.without_costs(), candles, times, signals, {})
        rows = paper_outcome(trader, paper, gross, candles[-len(paper.steps) :], milliseconds(series.timeframe))
        write_part(self._connection, key, "paper", rows.figures, rows.equity, rows.trades)

    @staticmethod
    def _traded(
        trader: Trader,
        candles: np.ndarray,
        times: Sequence[int],
        signals: Sequence[SealedSignal],
        sealed: Mapping[int, AccountRecord],
    ) -> Paper:
        account = new_account(CASH, trader.costs, trader.signal.horizon)
        return trade_on_paper(account, candles, times, signals, sealed)


def _newest_ms(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> int:
    row = connection.execute(f"select epoch_ms(max({column})) from raw.{table}").fetchone()
    return int(row[0]) if row and row[0] is not None else 0
