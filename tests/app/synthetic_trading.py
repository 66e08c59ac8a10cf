"""Synthetic trading rules over the synthetic candles, traded by the real ledger: many trades, five, none, no holdout.

All derives from a generator of its own, so that the other tables stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.trading.ledger import Costs, Fill, Ledger, run_ledger

CASH = 10_000.0
COST_PCT = 0.1
SLIPPAGE = 0.0002
#: Candles of the validation rows and of the holdout, which end where the published candles begin.
ROWS = {"validation": 1800, "holdout": 1600}
#: The published candle with which paper trading begins.
PAPER_START = 120


@dataclass(frozen=True)
class Rule:
    """A synthetic rule.

    Attributes:
        trades: the number in each part; None where it was not traded.
        edge: share of its trades that know the candles ahead.
    """

    symbol: str
    timeframe: str
    signal: str
    trades: dict[str, int | None]
    long_only: bool = False
    edge: float = 0.03
    is_shown: bool | None = False


RULES = (
    Rule("BTC/USDT", "1h", "trend", {"validation": 61, "holdout": 38, "paper": 9}),
    Rule("BTC/USDT", "1h", "reversal", {"validation": 80, "holdout": 45, "paper": 6}, edge=0.7, is_shown=True),
    Rule("BTC/USDT", "4h", "active", {"validation": 400, "holdout": 500, "paper": 40}),
    Rule("ETH/USDT", "1h", "trend", {"validation": 3, "holdout": 0, "paper": None}),
    Rule("ETH/USDT", "4h", "trend", {"validation": 20, "holdout": None, "paper": None}, is_shown=None),
    Rule("DOGE/USDT", "4h", "trend", {"validation": 12, "holdout": 5, "paper": 1}, long_only=True),
)
Key = tuple[str, str]


def history(candles: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    """A random walk of candles that ends where the given ones begin."""
    length = candles.close_time.iloc[0] - candles.open_time.iloc[0]
    n = sum(ROWS.values())
    scale = 0.005 * np.sqrt(length / pd.Timedelta(hours=1))
    close = np.exp(np.cumsum(draw.normal(0.02 * scale, scale, n)))
    close *= candles.open.iloc[0] / close[-1]
    first = np.concatenate([[close[0]], close[:-1]])
    opens = pd.date_range(end=candles.open_time.iloc[0] - length, periods=n, freq=length)
    return pd.DataFrame({
        "open_time": opens, "close_time": opens + length, "open": first, "high": np.maximum(first, close) * 1.001,
        "low": np.minimum(first, close) * 0.999, "close": close, "volume": 500.0,
    })  # fmt: skip


def targets(rule: Rule, part: pd.DataFrame, trades: int, draw: np.random.Generator) -> np.ndarray:
    """Sides (n,) that open and close as many trades."""
    sides = np.zeros(len(part))
    if not trades:
        return sides
    step = (len(part) - 3) // trades
    held = max(step - 2, 1)
    for start in range(1, 1 + step * trades, step):
        ahead = np.sign(part.close.iloc[min(start + held, len(part) - 1)] / part.close.iloc[start] - 1)
        side = ahead if draw.random() < rule.edge else draw.choice([-1.0, 1.0])
        sides[start : start + held] = 1.0 if rule.long_only else side
    return sides


def _ledgers(part: pd.DataFrame, target: np.ndarray) -> dict[str, Ledger]:
    """Ledgers before and after the fee, and of holding."""
    candles = part[["open", "high", "low", "close", "volume"]].to_numpy(np.float64)
    times = part.open_time.to_numpy("datetime64[ms]").astype(np.int64)
    hold = np.full(len(part), np.nan)
    hold[0] = 1.0
    net, gross = Costs.flat(COST_PCT / 100, SLIPPAGE), Costs.flat(0.0, SLIPPAGE)
    return {
        name: run_ledger(candles, times, side, cash=CASH, costs=costs)
        for name, side, costs in (("net", target, net), ("gross", target, gross), ("holding", hold, net))
    }


def _equity(part: pd.DataFrame, name: str, ledgers: dict[str, Ledger], target: np.ndarray) -> pd.DataFrame:
    """Rows of trading_equity: of each day, of paper trading of each candle."""
    noise = np.sin(np.arange(len(part)) / 3.0) * 0.15
    rows = pd.DataFrame({
        "time": part.close_time, "part": name, "gross": ledgers["gross"].equity / CASH,
        "equity": ledgers["net"].equity / CASH, "holding": ledgers["holding"].equity / CASH,
        "score": 0.35 * target + noise, "side": target.astype(int),
    })  # fmt: skip
    if name == "paper":
        return rows
    return rows.groupby((rows.time - pd.Timedelta(milliseconds=1)).dt.floor("D"), as_index=False).last()


def _trades(part: pd.DataFrame, name: str, ledger: Ledger) -> pd.DataFrame:
    """Rows of trading_trades. No trade is turned at once into the opposite one, so each has its own two fills."""
    fills: list[Fill] = list(ledger.fills)
    rows: list[dict[str, Any]] = []
    cash = ledger.cash
    for number, trade in enumerate(ledger.trades, 1):
        entry, leave = fills[2 * number - 2], fills[2 * number - 1] if trade.exit_bar is not None else None
        both = [entry] if leave is None else [entry, leave]
        cash += trade.pnl if leave is not None else 0.0
        ratio = leave.price / entry.price if leave is not None else np.nan
        rows.append({
            "part": name, "number": number, "side": trade.side, "entry_time": part.open_time.iloc[trade.entry_bar],
            "exit_time": pd.NaT if leave is None else part.open_time.iloc[leave.bar], "entry_price": entry.price,
            "exit_price": np.nan if leave is None else leave.price, "quantity": trade.qty,
            "fees": sum(fill.fee for fill in both),
            "slippage": sum(fill.qty * SLIPPAGE * part.open.iloc[fill.bar] for fill in both),
            "pnl": trade.pnl, "return_pct": 100 * trade.ret, "balance": cash if leave is not None else np.nan,
            "exit_turnover": ratio / (2 - ratio) if trade.side == "short" else ratio / ratio,
            "entry_reason": "signal",
            "exit_reason": None if leave is None else ("signal", "stop", "target", "horizon")[number % 4],
            "entry_score": 0.42 if trade.side == "long" else -0.42,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _figures(name: str, ledgers: dict[str, Ledger], is_shown: bool | None) -> dict[str, object]:
    net, holding = ledgers["net"], ledgers["holding"]
    closed = [trade for trade in net.trades if trade.exit_bar is not None]
    gains, losses = (sum(max(sign * trade.pnl, 0.0) for trade in closed) for sign in (1, -1))
    returned, held = (100 * (one.equity[-1] / CASH - 1) for one in (net, holding))
    fees = sum(fill.fee for fill in net.fills)
    peaks = np.maximum(np.maximum.accumulate(net.equity), CASH)
    over = 100 * ((100 + returned) / (100 + held) - 1)
    figures: dict[str, object] = {
        "return_pct": returned, "holding_pct": held, "lower_pct": 0.2 * over if is_shown else min(over, 0.0) - 13.0,
        "upper_pct": 1.9 * over if is_shown else max(over, 0.0) + 12.0, "trades": len(closed),
        "win_rate": np.mean([trade.pnl > 0 for trade in closed]) if closed else None,
        "profit_factor": gains / losses if losses else None,
        "max_drawdown_pct": 100 * float((1 - net.equity / peaks).max()),
        "sharpe": 0.41, "sortino": 0.57, "exposure": float(net.exposed.mean()),
        "turnover": sum(fill.qty * fill.price for fill in net.fills) / float(net.equity.mean()),
        "fees_share": fees / (returned * CASH / 100 + fees) if returned * CASH / 100 + fees > 0 else None,
        "break_even_fee_pct": _break_even(ledgers["gross"], len(closed)),
    }  # fmt: skip
    return {f"{name}_{key}": value for key, value in figures.items()}


def _break_even(gross: Ledger, trades: int) -> float | None:
    """About the fee that takes all of the gain; None where there is none."""
    gain = float(np.log(gross.equity[-1] / CASH))
    return 100 * gain / (2 * trades) if trades and gain > 0 else None


def _rule_row(rule: Rule, base: dict[str, str]) -> dict[str, object]:
    return base | {
        "signal_key": f"key-{rule.signal}", "model": "score of lightgbm and ridge",
        "description": "difference of the up and down scores, smoothed over 3 candles", "case_keys": "[]",
        "buy": 0.3, "sell": -0.3, "long_only": rule.long_only, "sizing": "all_in",
        "fee_pct": COST_PCT, "cost_pct": COST_PCT,
        "trials": 1000, "decided_at": pd.Timestamp("2024-04-14 02:15"),
        "reason": "best of the grid on validation" if rule.is_shown else None, "is_shown": rule.is_shown,
        "p_value": 0.012 if rule.is_shown else 0.34, "deflated_sharpe": 0.96 if rule.is_shown else 0.31,
    }  # fmt: skip


def _empty_figures() -> list[str]:
    names = "return_pct holding_pct lower_pct upper_pct trades win_rate profit_factor max_drawdown_pct sharpe sortino"
    return [*names.split(), "exposure", "turnover", "fees_share", "break_even_fee_pct"]


def tables(candles: dict[Key, pd.DataFrame], seed: int = 7, rules: tuple[Rule, ...] = RULES) -> dict[str, pd.DataFrame]:
    """The four tables of trading over the published candles of each series."""
    rows, parts_of_equity, parts_of_trades, signals = [], [], [], []
    for index, rule in enumerate(rules):
        draw = np.random.default_rng([seed, index])
        published = candles[rule.symbol, rule.timeframe].dropna(subset=["open"])
        past = history(published, draw)
        split = ROWS["validation"]
        spans = {"validation": past.iloc[:split], "holdout": past.iloc[split:], "paper": published.iloc[PAPER_START:]}
        base = {"exchange": "binance", "symbol": rule.symbol, "timeframe": rule.timeframe, "signal": rule.signal}
        row = _rule_row(rule, base)
        for name, span in spans.items():
            wanted = rule.trades[name]
            row |= {f"{name}_{key}": None for key in _empty_figures()}
            if wanted is None:
                continue
            part = span.reset_index(drop=True)
            target = targets(rule, part, wanted, draw)
            ledgers = _ledgers(part, target)
            row |= _figures(name, ledgers, rule.is_shown)
            parts_of_equity.append(_equity(part, name, ledgers, target).assign(**base))
            parts_of_trades.append(_trades(part, name, ledgers["net"]).assign(**base))
        rows.append(row)
        signals.append(_signals(published, draw).assign(**base))
    return {
        "trading_rules": pd.DataFrame(rows), "trading_equity": pd.concat(parts_of_equity),
        "trading_trades": pd.concat([part for part in parts_of_trades if len(part)]),
        "trading_signals": pd.concat(signals),
    }  # fmt: skip


def _signals(published: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    score = np.clip(np.cumsum(draw.normal(0, 0.08, len(published))) % 1.6 - 0.8, -1, 1)
    side = np.sign(score) * (np.abs(score) >= 0.3)
    steps = np.floor((np.abs(score) - 0.3) / 0.05).clip(0, 3).astype(int) + 1
    return pd.DataFrame({
        "open_time": published.open_time, "close_time": published.close_time, "score": score,
        "side": side.astype(int),
        "signs": [("▲" if one > 0 else "▼") * count if one else "" for one, count in zip(side, steps, strict=True)],
        "reason": "score", "issued_at": published.close_time + pd.Timedelta(seconds=50),
    })  # fmt: skip
