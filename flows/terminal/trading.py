"""Records of trading for the command line: rules from the sealed chain, the rest from the published snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.trading.signals import active_signals, newest_rules, place_of, signal_key
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError
from ml.forecasting.published import has_table, read_table
from ml.store import Store
from ml.trading.records import RuleRecord, SignalKey, SignalRecord, TradeRow

PARTS = ("paper", "holdout", "validation")


class PublishedRule(SignalKey, total=False):
    """The columns of the snapshot's rules that programs read by name."""

    is_shown: bool


def rule_records(workspace: Workspace) -> list[RuleRecord]:
    """The rule of every configured signal that has one, as sealed."""
    rules = newest_rules(workspace.store)
    keys = [
        (place_of(signal_key(series, trader)), trader.key)
        for series, traders in active_signals(workspace.settings).items()
        for trader in traders
    ]
    found = [(rules[place].record, key) for place, key in keys if place in rules]
    return [record for record, key in found if record["signal_key"] == key]


def summary(rules: Sequence[RuleRecord] | Sequence[PublishedRule]) -> str:
    """One sentence about all rules: how many are shown to be better than holding."""
    if not rules:
        return "No rule: `candleworks rules` chooses them, once a sweep has results that learn the close."
    shown = sum(bool(rule["is_shown"]) for rule in rules)
    return (
        f"{shown} of {len(rules)} rules are shown to gain, and to gain more than holding, after costs on candles that "
        "chose nothing."
    )


def signal_records(store: Store, every: bool) -> list[SignalRecord]:
    """Published signals, oldest first; only those of the newest candle of each series and signal, or all."""
    records: list[SignalRecord] = _table(store, "trading_signals")
    return records if every else list({place_of(one): one for one in records}.values())


def trade_records(store: Store, part: str) -> list[TradeRow]:
    """Published trades of one part.

    Raises:
        ConfigurationError: there is no such part.
    """
    if part not in PARTS:
        raise ConfigurationError(f"--part {part!r} is none of {', '.join(PARTS)}. Give one of them.")
    records: list[TradeRow] = _table(store, "trading_trades")
    return [one for one in records if one["part"] == part]


def published_rules(store: Store) -> list[PublishedRule]:
    """Published rules with their figures."""
    return _table(store, "trading_rules")


def _table(store: Store, name: str) -> list[Any]:
    """A table of the snapshot; empty in one of an earlier version. The caller names the type of its rows."""
    return read_table(store, name) if has_table(store, name) else []
