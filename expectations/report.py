"""The inputs of the quality gate and its report.

A batch is evaluated in two steps. Each rule marks the rows that break it; these go to quarantine, the others are good.
Where too many rows are marked, the batch is rejected as a whole: its market is stopped and none of its rows is good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from ml.timeframes import milliseconds

Severity = Literal["error", "warning"]
State = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True)
class MarketContext:
    """The series that a batch's candles belong to.

    Attributes:
        exchange: Name of the exchange, such as `binance`.
        symbol: Name of the pair, such as `BTC/USDT`.
        timeframe: Name of the timeframe, such as `1h`.
        timeframe_ms: Its length in milliseconds.
    """

    exchange: str
    symbol: str
    timeframe: str
    timeframe_ms: int

    @classmethod
    def of(cls, exchange: str, symbol: str, timeframe: str) -> MarketContext:
        """Build a context; the length is that of the named timeframe."""
        return cls(exchange, symbol, timeframe, milliseconds(timeframe))


@dataclass(frozen=True)
class GateLimits:
    """Thresholds at which the gate stops a market or warns.

    Attributes:
        stop_share: A batch stops when more than this share of its rows break rules that can stop.
        stop_rows: A batch with some good rows stops only from this many such rows on: one bad candle among the three of
            an hourly update is quarantined and is no reason to stop.
        stale_timeframes: The newest candle may have closed this many timeframes before now.
    """

    stop_share: float = 0.20
    stop_rows: int = 3
    stale_timeframes: float = 2.0


@dataclass(frozen=True)
class Check:
    """Outcome of one rule on one batch.

    Attributes:
        rule: Name of the rule.
        severity: `error` sends rows to quarantine, `warning` never does.
        success: No row broke the rule. Also True where no row could be checked: read `state`.
        rows_checked: Rows that the rule checked; 0 where it could not be applied, and `detail` says why.
        rows_failed: Rows that broke it.
        detail: The finding, in words.
    """

    rule: str
    severity: Severity
    success: bool
    rows_checked: int
    rows_failed: int
    detail: str

    @property
    def state(self) -> State:
        """`passed` only if rows were checked and none broke the rule."""
        if not self.success:
            return "failed"
        return "passed" if self.rows_checked else "not applicable"


@dataclass(frozen=True)
class GateReport:
    """The gate's result. Every row of the batch is either in `good` or in `quarantined`, exactly once.

    Attributes:
        market: The series that was checked.
        checks: One entry per rule, in the order of `expectations.rules.RULES`.
        good: Rows to keep, ascending by open_time, with the columns of the batch. Empty when `stopped`.
        quarantined: Rows not to keep, with the columns of the batch and `rule` (names joined by a comma) and `detail`.
        stopped: The batch is rejected as a whole and its market needs manual attention.
        reason: Why, in one line; empty when not stopped.
        measures: The frame that Great Expectations validated, one row per row of the batch, for `docs.build_data_docs`.
    """

    market: MarketContext
    checks: list[Check]
    good: pd.DataFrame
    quarantined: pd.DataFrame
    stopped: bool
    reason: str
    measures: pd.DataFrame = field(repr=False)

    def check(self, rule: str) -> Check:
        """The check of one rule.

        Raises:
            KeyError: there is no such rule.
        """
        for check in self.checks:
            if check.rule == rule:
                return check
        raise KeyError(rule)

    @property
    def failed_rules(self) -> list[str]:
        """Names of the rules that rows of this batch broke, warnings included."""
        return self.rules_in("failed")

    def rules_in(self, state: State) -> list[str]:
        """Names of the rules whose check is in a state."""
        return [check.rule for check in self.checks if check.state == state]

    def check_rows(self) -> list[dict[str, Any]]:
        """The checks as plain rows with their `state`, for a table."""
        return [{**vars(check), "state": check.state} for check in self.checks]
