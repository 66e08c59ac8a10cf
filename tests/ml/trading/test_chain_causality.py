"""Causality of the whole trading chain: scores, sides, fills and equity from the history up to a candle are the run's.

The models are fitted once, as models in service are, and everything after them is computed again from a dataset that
ends with the cut: windows, scale, scores, smoothing, sizes, levels, orders and the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ml.data.candle_columns import CLOSE
from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.evaluation.preparation import bind
from ml.evaluation.walk_forward import Walk
from ml.trading import scores as scores_module
from ml.trading.costs import Costs
from ml.trading.ledger import CASH, Ledger, run_ledger
from ml.trading.scores import CaseForecasts, Orders, ScoreHistory, Scores, orders_of, score_history
from ml.trading.selection import Part, Trader, choose_thresholds
from ml.trading.signals import Signal, Source, read_signals
from ml.trading.sizing import Sizing
from tests.synthetic import make_case, make_dataset

ROWS = 1_000
#: Cuts are this many candles apart, and another one per signal later, so that all signals together cut everywhere.
STEP = 11
COSTS = Costs.flat(0.001, 0.0005)
RANGE = Source(quantity="range")
#: With every option that the built-in signals do not have.
OTHERS = (
    Signal(name="slow", sources=(Source(), RANGE), smooth="mean", span=5, horizon=4, sizing=Sizing("volatility", 0.2)),
    Signal(
        name="both",
        sources=(Source(),),
        second=(RANGE,),
        rule="two_scores",
        combine="largest",
        stops=1.0,
        sizing=Sizing("confidence", 1.0),
    ),
)
SIGNALS = (*read_signals([]), *OTHERS)


@pytest.fixture(scope="module")
def forecasts() -> CaseForecasts:
    found = CaseForecasts.of(make_case(lags=3), make_dataset(ROWS, edge=0.5))
    assert len(found.walks[0].folds) == len(found.walks[1].folds) == 1
    return found


def cut_dataset(dataset: Dataset, cut: int) -> Dataset:
    """The rows before a cut; the label of the last one is not known yet."""
    labels = dataset.labels[:cut].copy()
    labels[-1] = np.nan
    arrays = {name: getattr(dataset, name)[:cut] for name in ("features", "candles", "open_time_ms", "run_length")}
    return replace(dataset, labels=labels, **arrays)


def cut_forecasts(forecasts: CaseForecasts, cut: int) -> CaseForecasts:
    """The forecasts of the fitted models on the rows before a cut, which is in the holdout."""
    whole = forecasts.prepared
    prepared = replace(bind(whole.case, cut_dataset(whole.dataset, cut)), split=whole.split)
    validation, holdout = (
        Walk(
            prepared,
            tuple(replace(fold, predict=fold.predict[fold.predict < cut]) for fold in walk.folds),
            walk.ensembles,
        )
        for walk in forecasts.walks
    )
    return CaseForecasts(prepared, (validation, holdout))


@dataclass(frozen=True)
class Chain:
    """A signal with thresholds, and its chain over the whole history from the first row that is traded."""

    trader: Trader
    pair: tuple[float, float]
    start: int
    history: ScoreHistory
    ledger: Ledger

    @classmethod
    def of(cls, signal: Signal, forecasts: CaseForecasts) -> Chain:
        trader, history = Trader(signal, COSTS), score_history(signal, [forecasts] * len(signal.all_sources))
        choice = choose_thresholds(trader, Part.of("validation", history, *history.validation))
        # Beyond the quantile, which may be a score itself: the last digit of a score depends on the number of rows.
        buy, sell = choice.pairs[choice.chosen] + np.array([1e-9, -1e-9])
        part = Part.of("holdout", history, *history.holdout)
        return cls(trader, (buy, sell), history.holdout[0], history, trader.trade(part, buy, sell))

    def orders(self, history: ScoreHistory) -> Orders:
        """The orders after each traded candle of a history."""
        scores = history.scores.between(self.start, len(history.dataset))
        close = np.asarray(history.dataset.candles[self.start :, CLOSE], dtype=np.float64)
        return orders_of(self.trader.signal, scores, close, *self.pair)


def assert_causal(chain: Chain, forecasts: CaseForecasts, cut: int) -> None:
    """All of a history that ends before row `cut`, traded until its last order fills, equals the whole run."""
    known = score_history(chain.trader.signal, [cut_forecasts(forecasts, cut)] * len(chain.trader.signal.all_sources))
    for name in ("score", "second", "high", "low"):
        then, now = getattr(known.scores, name), getattr(chain.history.scores, name)
        if then is not None:
            np.testing.assert_allclose(then, now[:cut], rtol=1e-9, atol=1e-12, err_msg=name)
    n = cut - chain.start
    orders, every = chain.orders(known), chain.orders(chain.history)
    np.testing.assert_array_equal(orders["target"], every["target"][:n])
    ledger = traded(chain, orders, n + 1)
    np.testing.assert_allclose(ledger.equity, chain.ledger.equity[: n + 1], rtol=1e-9)
    fills = [fill for fill in chain.ledger.fills if fill.bar <= n]
    assert [(fill.bar, fill.side, fill.reason) for fill in ledger.fills] == [
        (fill.bar, fill.side, fill.reason) for fill in fills
    ]
    np.testing.assert_allclose(
        [(fill.price, fill.qty) for fill in ledger.fills] or 0,
        [(fill.price, fill.qty) for fill in fills] or 0,
        rtol=1e-9,
    )


def traded(chain: Chain, orders: Orders, n: int) -> Ledger:
    """The ledger of the first n traded candles; there are no orders after those that are known."""

    def padded(rows: Floats | None) -> Floats | None:
        return None if rows is None else np.concatenate([rows, np.full(n - len(rows), np.nan)])

    dataset, rows = chain.history.dataset, slice(chain.start, chain.start + n)
    target = padded(orders["target"])
    assert target is not None
    return run_ledger(
        np.asarray(dataset.candles[rows], dtype=np.float64),
        dataset.open_time_ms[rows],
        target,
        quantity=padded(orders["quantity"]),
        fraction=padded(orders["fraction"]),
        stop=padded(orders["stop"]),
        take_profit=padded(orders["take_profit"]),
        cash=CASH,
        costs=COSTS,
        horizon=chain.trader.signal.horizon or None,
    )


def cuts(chain: Chain, number: int) -> Iterator[int]:
    """Rows of the holdout at which the history of a signal, by its number, ends."""
    yield from range(chain.start + 1 + number, len(chain.history.dataset) - 1, STEP)


def test_scores_sides_fills_and_equity_of_every_signal_do_not_know_the_future(forecasts: CaseForecasts) -> None:
    reasons: set[str] = set()
    for number, signal in enumerate(SIGNALS):
        chain = Chain.of(signal, forecasts)
        assert len(chain.ledger.trades) >= 5, signal.name
        reasons |= {fill.reason for fill in chain.ledger.fills}
        tried = list(cuts(chain, number))
        assert len(tried) >= 15
        for cut in tried:
            assert_causal(chain, forecasts, cut)
    assert reasons == {"signal", "stop", "target", "horizon"}


def test_a_score_that_knows_one_candle_of_the_future_is_found(
    forecasts: CaseForecasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = scores_module.scores_of

    def early(*arguments: Any) -> Scores:
        scores = sound(*arguments)
        return replace(scores, score=np.append(scores.score[1:], scores.score[-1:]))

    monkeypatch.setattr(scores_module, "scores_of", early)
    for number, signal in enumerate(SIGNALS):
        chain = Chain.of(signal, forecasts)
        with pytest.raises(AssertionError, match="score"):
            assert_causal(chain, forecasts, next(cuts(chain, number)) + STEP)


def test_orders_that_know_one_candle_of_the_future_are_found(
    forecasts: CaseForecasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Chain.orders

    def early(self: Chain, history: ScoreHistory) -> Orders:
        orders = sound(self, history)
        return {**orders, "target": np.append(orders["target"][1:], np.nan)}

    chain = Chain.of(SIGNALS[0], forecasts)
    monkeypatch.setattr(Chain, "orders", early)
    with pytest.raises(AssertionError):
        for cut in cuts(chain, 0):
            assert_causal(chain, forecasts, cut)


def test_the_thresholds_in_force_do_not_know_their_own_block(forecasts: CaseForecasts) -> None:
    for signal in SIGNALS:
        trader, history = Trader(signal, COSTS), score_history(signal, [forecasts] * len(signal.all_sources))
        part = Part.of("validation", history, *history.validation)
        choice = choose_thresholds(trader, part)
        starts = [choice.first, *(1 + np.flatnonzero(np.diff(choice.buy[choice.first :])) + choice.first)]
        for start in starts:
            candles = part.candles.copy()
            candles[start:] = candles[start:][::-1]
            other = choose_thresholds(trader, replace(part, candles=candles))
            np.testing.assert_array_equal(other.buy[: start + 1], choice.buy[: start + 1])
            np.testing.assert_array_equal(other.sell[: start + 1], choice.sell[: start + 1])
