"""Types of the stored rows of trading, as `ml.records` has those of forecasting. Times are ISO 8601 text in UTC."""

from __future__ import annotations

from typing import TypedDict

from ml.records import SeriesKey


class SignalKey(SeriesKey, total=False):
    """A signal of a series; `signal` is its name."""

    signal: str


class TradingFigures(TypedDict, total=False):
    """The outcome of a rule in one part; percent unless said otherwise, null where undefined.

    `lower_pct` and `upper_pct` are the ends of the 90 % interval of the difference to holding, both as gains over it.
    """

    start_time: str | None
    end_time: str | None
    candles: int
    return_pct: float
    holding_pct: float
    over_holding_pct: float
    lower_pct: float | None
    upper_pct: float | None
    trades: int
    win_rate: float | None
    profit_factor: float | None
    max_drawdown_pct: float
    sharpe: float | None
    sortino: float | None
    cagr_pct: float | None
    calmar: float | None
    #: Shares of 1.
    exposure: float
    turnover: float
    fees_share: float | None
    break_even_fee_pct: float | None


class RuleRecord(SignalKey, total=False):
    """Body of the chain ``rules``: thresholds chosen on validation, and their only report on the holdout."""

    signal_key: str
    description: str
    dataset_id: str
    #: Per source: key of the case, id of the served model, usual size of its moves.
    case_keys: list[str]
    model: str
    model_ids: list[str]
    #: SHA-256 of their model cards; missing in records of earlier versions.
    model_cards: list[str]
    units: list[float]
    buy: float
    sell: float
    #: Size of a step of the score beyond a threshold.
    band_step: float
    long_only: bool
    sizing: str
    fee: float
    slippage: float
    #: Threshold pairs that were compared, reports on overlapping holdout rows so far, and the level of `is_shown`.
    trials: int
    openings: int
    level: float
    #: Hansen's SPA of "no pair gains more than holding" on validation; probability of a Sharpe ratio above luck.
    p_value: float | None
    deflated_sharpe: float | None
    is_shown: bool
    reason: str
    decided_at: str
    validation: TradingFigures
    holdout: TradingFigures


class SignalRecord(SignalKey, total=False):
    """Body of the chain ``signals``: the score at the close of a candle, sealed before the price it is traded at."""

    signal_key: str
    rule_hash: str
    open_time: str
    close_time: str
    #: Close of the candle, in quote units.
    price: float
    score: float | None
    second: float | None
    buy: float
    sell: float
    #: Target side: 1 long, 0 flat, -1 short, null as before.
    side: float | None
    #: Size of a position that the side opens: base units, or a share of the equity; null: all of it.
    quantity: float | None
    fraction: float | None
    stop: float | None
    take_profit: float | None
    band: int
    signs: str
    reason: str
    issued_at: str


class FillRow(TypedDict):
    """A fill of paper trading; price and fee in quote units, quantity in base units, balance after it."""

    side: str
    quantity: float
    price: float
    fee: float
    reason: str
    balance: float


class TransactionRecord(SignalKey, total=False):
    """Body of the chain ``transactions``: all fills of a candle, and the account after it (`Account.to_record`)."""

    signal_key: str
    #: Of the signal that ordered; null for a stop, a target or a horizon.
    signal_hash: str | None
    open_time: str
    fills: list[FillRow]
    balance: float
    account: str
    sealed_at: str


class EquityRow(SignalKey, total=False):
    """A point of an equity curve, indexed to 1 at the start of its part; `gross` is before fees."""

    part: str
    time: str
    gross: float
    equity: float
    holding: float
    score: float | None
    side: int


class TradeRow(SignalKey, total=False):
    """A trade in the blotter; `exit_turnover` is the value of its exit over the equity before the exit's fee."""

    part: str
    number: int
    side: str
    entry_time: str
    exit_time: str | None
    entry_price: float
    exit_price: float | None
    quantity: float
    fees: float
    slippage: float
    pnl: float
    return_pct: float
    balance: float
    exit_turnover: float | None
    entry_reason: str
    exit_reason: str | None
    entry_score: float | None
