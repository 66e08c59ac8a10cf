"""What the gate is told about a batch and what it answers.

A batch is evaluated in two steps. Each rule marks the rows that break it; they go to quarantine, the others are good.
Where too many rows are marked the batch as a whole is not believed: its market is stopped and nothing of it is good.
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
    """Whose candles a batch holds.

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
        """Build a context whose length is looked up from the timeframe's name."""
        return cls(exchange, symbol, timeframe, milliseconds(timeframe))


@dataclass(frozen=True)
class GateLimits:
    """From where on the gate stops a market or warns.

    Attributes:
        stop_share: A batch stops when more than this share of its rows break rules that can stop.
        stop_rows: A batch with some good rows stops only from this many such rows on: one bad candle of the three of an
            hourly update belongs in quarantine and is no reason to stop.
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
        success: No row broke the rule. True as well where there was no row to look at: read `state`.
        rows_checked: Rows that the rule looked at; 0 where it could not be applied, and `detail` says why.
        rows_failed: Rows that broke it.
        detail: What was found, in words.
    """

    rule: str
    severity: Severity
    success: bool
    rows_checked: int
    rows_failed: int
    detail: str

    @property
    def state(self) -> State:
        """`passed` only if rows were looked at and none broke the rule."""
        if not self.success:
            return "failed"
        return "passed" if self.rows_checked else "not applicable"


@dataclass(frozen=True)
class GateReport:
    """The gate's answer. Every row of the batch is either in `good` or in `quarantined`, exactly once.

    Attributes:
        market: Whose candles were checked.
        checks: One entry a rule, in the order of `expectations.rules.RULES`.
        good: Rows to keep, ascending by open_time, with the columns of the batch. Empty when `stopped`.
        quarantined: Rows not to keep, with the columns of the batch and `rule` (names joined by a comma) and `detail`.
        stopped: The batch is not believed as a whole and its market needs a person.
        reason: Why, in one line; empty when not stopped.
        measures: The frame that Great Expectations validated, one row a row of the batch, for `docs.build_data_docs`.
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
        """Names of the rules that rows of this batch broke, warnings too."""
        return self.rules_in("failed")

    def rules_in(self, state: State) -> list[str]:
        """Names of the rules whose check is in a state."""
        return [check.rule for check in self.checks if check.state == state]

    def check_rows(self) -> list[dict[str, Any]]:
        """The checks as plain rows with their `state`, for a table."""
        return [{**vars(check), "state": check.state} for check in self.checks]
