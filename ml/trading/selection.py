"""Selection of a rule: thresholds chosen on validation, one report on the holdout, and the models that will serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ml.canonical import digest
from ml.data.candle_columns import CLOSE
from ml.data.targets import Floats
from ml.errors import CaseError
from ml.timeframes import utc_text
from ml.trading.blotter import equity_rows, trade_rows
from ml.trading.break_even import break_even_fee, equity_at_fee
from ml.trading.choice import BLOCKS, Choice, choose
from ml.trading.costs import Costs
from ml.trading.daily import daily_log_gains, last_of_days
from ml.trading.grid import equity_of_grid
from ml.trading.ledger import CASH, Ledger, run_ledger
from ml.trading.luck import SHOWN_LEVEL, deflated_sharpe, gain_quantiles, grid_p_value, unproved
from ml.trading.performance import buy_and_hold, curve_figures, trade_figures
from ml.trading.records import EquityRow, RuleRecord, TradeRow, TradingFigures
from ml.trading.scores import CaseForecasts, ScoreHistory, Scores, levels_of, orders_of, score_history
from ml.trading.signals import Signal


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive candles that a rule trades, with its scores.

    Attributes:
        name: "validation", "holdout" or "paper".
        candles: (n, 5).
        open_time_ms: (n,).
        scores: of the candles.
    """

    name: str
    candles: Floats
    open_time_ms: npt.NDArray[np.int64]
    scores: Scores

    @classmethod
    def of(cls, name: str, history: ScoreHistory, start: int, stop: int) -> Part:
        """Rows start..stop - 1 of a dataset."""
        return cls(
            name,
            np.asarray(history.dataset.candles[start:stop], dtype=np.float64),
            np.asarray(history.dataset.open_time_ms[start:stop]),
            history.scores.between(start, stop),
        )


@dataclass(frozen=True)
class Trader:
    """A signal with the costs at which it is traded."""

    signal: Signal
    costs: Costs

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the signal's key and the costs: paper trading has an account per key."""
        return digest([self.signal.key, self.costs.fee, self.costs.slippage])[:16]

    def trade(self, part: Part, buy: Floats | float, sell: Floats | float) -> Ledger:
        """The ledger of a part at thresholds, which may differ from candle to candle."""
        orders = orders_of(self.signal, part.scores, part.candles[:, CLOSE], buy, sell)
        return run_ledger(
            part.candles,
            part.open_time_ms,
            **orders,
            cash=CASH,
            costs=self.costs,
            horizon=self.signal.horizon or None,
        )

    def gains(self, part: Part, pairs: Floats) -> Floats:
        """(days, k) logarithmic gains of pairs of thresholds (k, 2)."""
        if self.signal.second or self.signal.horizon or self.signal.sizing.kind != "all_in":
            return np.column_stack([self._gains(part, float(buy), float(sell)) for buy, sell in pairs])
        return equity_of_grid(
            part.candles,
            part.open_time_ms,
            part.scores.score,
            pairs,
            cash=CASH,
            costs=self.costs,
            levels=levels_of(self.signal, part.scores, part.candles[:, CLOSE]),
            long_only=self.signal.long_only,
        ).gains.T

    def _gains(self, part: Part, buy: float, sell: float) -> Floats:
        return daily_log_gains(self.trade(part, buy, sell).equity, CASH, part.open_time_ms)

    def break_even(self, part: Part, buy: Floats | float, sell: Floats | float, gross: Ledger) -> float | None:
        """The fee of each side at which a part ends as it began; None where nothing is gained without costs."""

        def final(fee: float) -> float:
            if self.signal.sizing.kind == "all_in":
                return float(np.nan_to_num(equity_at_fee(gross, fee)[-1]))
            return float(self.at_fee(fee).trade(part, buy, sell).equity[-1])

        return break_even_fee(final, CASH)

    def at_fee(self, fee: float) -> Trader:
        """The same signal at another fee, with the same slippage."""
        return Trader(self.signal, Costs.flat(fee, self.costs.slippage))

    def hold(self, part: Part) -> Ledger:
        """Holding through a part, with the same costs."""
        return buy_and_hold(part.candles, part.open_time_ms, CASH, self.costs)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A part as it was traded: the ledger after costs, the same before fees, and holding, with their figures."""

    part: Part
    ledger: Ledger
    gross: Ledger
    holding: Ledger
    figures: TradingFigures
    equity: list[EquityRow]
    trades: list[TradeRow]


def outcome_of(trader: Trader, part: Part, buy: Floats | float, sell: Floats | float, timeframe_ms: int) -> Outcome:
    """Trade a part and measure it, a row per day."""
    ledger, holding = trader.trade(part, buy, sell), trader.hold(part)
    gross = trader.at_fee(0.0).trade(part, buy, sell)
    curves, closes = (ledger, gross, holding), part.open_time_ms + timeframe_ms
    break_even = trader.break_even(part, buy, sell, gross)
    return Outcome(
        part,
        *curves,
        figures=trading_figures(ledger, holding, part.open_time_ms, break_even),
        equity=equity_rows(part.name, closes, curves, part.scores.score, last_of_days(part.open_time_ms)),
        trades=trade_rows(part.name, ledger.trades, part.open_time_ms, part.scores.score),
    )


def trading_figures(
    ledger: Ledger, holding: Ledger, open_time_ms: npt.NDArray[np.int64], break_even: float | None
) -> TradingFigures:
    """The figures of a ledger against holding, for candles that open at (n,) milliseconds."""
    own, held = (daily_log_gains(one.equity, CASH, open_time_ms) for one in (ledger, holding))
    over = own - held
    ends = gain_quantiles(over, [0.05, 0.95])
    curve, trades = curve_figures(ledger.equity, ledger.cash, open_time_ms), trade_figures(ledger)
    return {
        "start_time": utc_text(int(open_time_ms[0])),
        "end_time": utc_text(int(open_time_ms[-1])),
        "candles": len(open_time_ms),
        "return_pct": 100 * curve["total_return"],
        "holding_pct": 100 * float(holding.equity[-1] / holding.cash - 1),
        "over_holding_pct": 100 * float(np.expm1(over.sum())),
        "lower_pct": 100 * float(np.expm1(ends[0])) if ends else None,
        "upper_pct": 100 * float(np.expm1(ends[1])) if ends else None,
        "trades": trades["trades"],
        "win_rate": trades["win_rate"],
        "profit_factor": trades["profit_factor"],
        "max_drawdown_pct": 100 * curve["max_drawdown"],
        "sharpe": curve["sharpe"],
        "sortino": curve["sortino"],
        "cagr_pct": None if curve["cagr"] is None else 100 * curve["cagr"],
        "calmar": curve["calmar"],
        "exposure": trades["exposure"],
        "turnover": trades["turnover"],
        "fees_share": trades["fees_share"],
        "break_even_fee_pct": None if break_even is None else 100 * break_even,
    }


@dataclass(frozen=True)
class Reports:
    """The reports on the holdout of a series, with the one to come.

    Attributes:
        openings: reports on overlapping holdout candles of the series, with this one.
        now_ms: time of the decision.
    """

    openings: int
    now_ms: int


@dataclass(frozen=True, eq=False)
class Selected:
    """A rule with its record and the rows of its parts."""

    record: RuleRecord
    validation: Outcome
    holdout: Outcome


def select_rule(trader: Trader, cases: Sequence[CaseForecasts], reports: Reports) -> Selected:
    """Choose the thresholds of a signal on validation and report them once on the holdout.

    Args:
        trader: signal and costs.
        cases: the forecasts of its sources.
        reports: of the series so far.

    Raises:
        CaseError: there are no thresholds to choose from, or too few candles.
    """
    history = score_history(trader.signal, cases)
    validation = Part.of("validation", history, *history.validation)
    choice = choose_thresholds(trader, validation)
    length = history.dataset.timeframe_ms
    traded = Part.of("validation", history, history.validation[0] + choice.first, history.validation[1])
    buy, sell = (float(one) for one in choice.pairs[choice.chosen])
    on_validation = outcome_of(trader, traded, choice.buy[choice.first :], choice.sell[choice.first :], length)
    holdout = Part.of("holdout", history, *history.holdout)
    on_holdout = outcome_of(trader, holdout, buy, sell, length)
    held = daily_log_gains(trader.hold(validation).equity, CASH, validation.open_time_ms)
    p_value = grid_p_value(choice.gains, held)
    shown, level, reason = _is_shown(p_value, on_holdout, reports.openings)
    record: RuleRecord = {
        "signal": trader.signal.name,
        "description": trader.signal.description,
        "dataset_id": history.dataset.id,
        "case_keys": [one.prepared.case.key for one in cases],
        "model": ", ".join(dict.fromkeys(one.prepared.case.model for one in cases)),
        "units": list(history.units),
        "buy": buy,
        "sell": sell,
        "band_step": trader.signal.band_step,
        "long_only": trader.signal.long_only,
        "sizing": trader.signal.sizing.kind,
        "fee": trader.costs.fee[0][1],
        "slippage": trader.costs.slippage,
        "trials": len(choice.pairs),
        "openings": reports.openings,
        "level": level,
        "p_value": p_value,
        "deflated_sharpe": deflated_sharpe(choice.gains, choice.chosen),
        "is_shown": shown,
        "reason": reason,
        "decided_at": utc_text(reports.now_ms),
        "validation": on_validation.figures,
        "holdout": on_holdout.figures,
    }
    return Selected(record, on_validation, on_holdout)


def choose_thresholds(trader: Trader, part: Part) -> Choice:
    """Thresholds of a signal on its validation rows."""
    score = part.scores.score
    first = score[: len(score) // BLOCKS]
    known = first[np.isfinite(first)]
    if not len(known):
        raise CaseError("The first fifth of validation has no score. Ingest more candles, or use another case.")
    return choose(trader.signal.grid.pairs(known), partial(trader.gains, part), part.open_time_ms)


def _is_shown(p_value: float | None, holdout: Outcome, openings: int) -> tuple[bool, float, str]:
    """Whether the holdout shows that a rule gains, and gains more than holding; with the level, and in words.

    Both gains must be above 0 at the level, which is divided by the number of reports on these candles (Bonferroni),
    and the grid must have passed its test on validation.
    """
    level = SHOWN_LEVEL / openings
    times = holdout.part.open_time_ms
    own, held = (daily_log_gains(one.equity, CASH, times) for one in (holdout.ledger, holdout.holding))
    if p_value is None:
        return False, level, f"too few days: {len(own)} in the holdout"
    if p_value > SHOWN_LEVEL:
        return (
            False,
            level,
            f"on validation no pair of the grid gains more than holding beyond luck (p = {p_value:.2f})",
        )
    if not holdout.ledger.trades:
        return False, level, "no trade in the holdout"
    if reason := unproved(own, held, level):
        return False, level, f"on the holdout: {reason}"
    return True, level, "gains, and gains more than holding, on candles that chose nothing"
