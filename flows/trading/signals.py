"""The signals of a workspace and the rules that were chosen for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.settings import Settings
from ml.forecasting.chain import Chain
from ml.series import Series
from ml.store import Store
from ml.trading.costs import Costs
from ml.trading.records import RuleRecord, SignalKey
from ml.trading.selection import Trader
from ml.trading.signals import read_signals

#: Exchange, symbol, timeframe and signal.
Place = tuple[str, str, str, str]


@dataclass(frozen=True)
class SealedRule:
    """A rule with the hash of its record."""

    record: RuleRecord
    hash: str


def active_signals(settings: Settings) -> dict[Series, list[Trader]]:
    """Every series with the signals that are configured for it; empty where trading is switched off."""
    every = _traders(settings)
    return {
        series: [one for one in every if one.signal.concerns(series.symbol, series.timeframe)]
        for series in settings.series()
    }


def _traders(settings: Settings) -> list[Trader]:
    """The configured signals with the configured costs.

    Raises:
        ConfigurationError: a file of signals is wrong.
    """
    trading = settings.trading
    if not trading.enabled:
        return []
    costs = Costs.flat(trading.fee, trading.slippage)
    return [Trader(signal, costs) for signal in read_signals([Path(name) for name in trading.signals])]


def signal_key(series: Series, trader: Trader) -> SignalKey:
    """Series and name of a signal."""
    return {
        "exchange": series.exchange,
        "symbol": series.symbol,
        "timeframe": series.timeframe,
        "signal": trader.signal.name,
    }


def place_of(record: SignalKey) -> Place:
    """The same as a tuple."""
    return record["exchange"], record["symbol"], record["timeframe"], record["signal"]


def newest_rules(store: Store) -> dict[Place, SealedRule]:
    """The newest rule of every signal of a series."""
    found: dict[Place, SealedRule] = {}
    for record in Chain(store, "rules").records():
        body: RuleRecord = record["body"]
        found[place_of(body)] = SealedRule(body, record["hash"])
    return found
