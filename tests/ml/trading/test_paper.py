"""Paper trading: sealed signals through the account of backtests, whatever happens between two hours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.timeframes import HOUR_MS, utc_text
from ml.trading.costs import Costs
from ml.trading.ledger import run_ledger
from ml.trading.paper import DELAY, Paper, SealedSignal, fill_rows, new_account, placed, trade_on_paper
from ml.trading.records import SignalRecord

CASH, COSTS = 10_000.0, Costs.flat(0.001, 0.0005)
START_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS


def market(n: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, n)))
    opens = np.append(100.0, close[:-1])
    high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.998
    candles = np.column_stack([opens, high, low, close, np.ones(n)])
    return candles, [START_MS + place * HOUR_MS for place in range(n)]


def signal(open_ms: int, side: float | None, late_ms: int = 60_000, **changes: float) -> SealedSignal:
    record: SignalRecord = {
        "timeframe": "1h",
        "open_time": utc_text(open_ms),
        "close_time": utc_text(open_ms + HOUR_MS),
        "issued_at": utc_text(open_ms + HOUR_MS + late_ms),
        "score": None if side is None else side / 2,
        "side": side,
        "quantity": None,
        "fraction": None,
        "stop": None,
        "take_profit": None,
        **changes,  # type: ignore[typeddict-item]
    }
    return SealedSignal(record, f"hash of {open_ms}")


def signals_of(sides: list[float | None], times: list[int]) -> list[SealedSignal]:
    return [signal(time, side) for time, side in zip(times, sides, strict=True)]


def on_paper(
    candles: np.ndarray, times: list[int], signals: list[SealedSignal], sealed: dict[int, str] | None = None
) -> Paper:
    return trade_on_paper(new_account(CASH, COSTS, 0), candles, times, signals, sealed or {})


def seal(paper: Paper) -> dict[int, str]:
    """The accounts of new transactions, as they are sealed."""
    return {paper.open_time_ms[number]: account for number, account in paper.unsealed}


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_paper_equals_the_backtest_to_the_bit_however_often_it_is_restarted(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    candles, times = market(n, seed)
    sides = [None if one == 2 else float(one) for one in random.integers(-1, 3, n)]
    every = signals_of(sides, times)
    sealed: dict[int, str] = {}
    seen = 0
    for hour in range(1, n + 1):  # every hour a new process, which knows the sealed records only
        if random.random() < 0.3 and hour < n:
            continue  # an hour without a run
        # Transactions are sealed before the signal of the newest candle.
        paper = on_paper(candles[:hour], times[:hour], every[: hour - 1], sealed)
        new = seal(paper)
        assert not new.keys() & sealed.keys()
        sealed |= new
        seen += len(paper.unsealed)
    again = on_paper(candles, times, every, sealed)
    assert not again.unsealed and not again.revised
    target = np.array([np.nan if side is None else side for side in sides])
    backtest = run_ledger(candles, np.array(times), target, cash=CASH, costs=COSTS, delay=DELAY)
    assert again.ledger(CASH).equity.tolist() == backtest.equity.tolist()
    assert again.trades == list(backtest.trades)
    assert seen == len({fill.bar for fill in backtest.fills})


def test_an_order_fills_at_the_open_of_the_candle_after_its_seal() -> None:
    candles, times = market(6)
    paper = on_paper(candles, times, [signal(times[1], 1.0)])
    ((number, _),) = paper.unsealed
    assert paper.open_time_ms[number] == times[3]  # sealed within candle 2
    (fill,) = fill_rows(paper.steps[number])
    assert fill["price"] == candles[3, 0] * 1.0005 and fill["side"] == "buy" and fill["reason"] == "signal"
    assert fill["balance"] == paper.steps[number].equity


def test_a_late_seal_moves_the_order_behind_it() -> None:
    candles, times = market(8)
    for late, filled in ((0, 3), (HOUR_MS - 1000, 3), (HOUR_MS, 4), (2 * HOUR_MS + 60_000, 5)):
        paper = on_paper(candles, times, [signal(times[1], 1.0, late)])
        assert paper.open_time_ms[paper.unsealed[0][0]] == times[filled], late


def test_a_gap_waits_for_the_next_candles() -> None:
    candles, times = market(9)
    keep = [place for place in range(9) if place not in (3, 4)]
    paper = on_paper(candles[keep], [times[place] for place in keep], [signal(times[1], 1.0)])
    assert paper.open_time_ms[paper.unsealed[0][0]] == times[5]
    # The candle of the order itself is missing: the order counts at the one before it, and never fills earlier.
    keep = [place for place in range(9) if place not in (2, 3)]
    paper = on_paper(candles[keep], [times[place] for place in keep], [signal(times[2], 1.0)])
    assert paper.open_time_ms[paper.unsealed[0][0]] >= times[4]


def test_a_missing_score_keeps_the_position() -> None:
    candles, times = market(8)
    sides = [1.0, None, None, None, None, -1.0, None, None]
    paper = on_paper(candles, times, signals_of(sides, times))
    assert [int(np.sign(step.position)) for step in paper.steps] == [0, 0, 1, 1, 1, 1, 1, -1]
    assert paper.score[0] == 0.5 and np.isnan(paper.score[1])


def test_a_sealed_fill_counts_whatever_its_candle_becomes() -> None:
    candles, times = market(8)
    every = signals_of([1.0, *[None] * 4, -1.0, None, None], times)
    first = on_paper(candles, times, every)
    sealed = seal(first)
    revised = candles.copy()
    revised[2, 0] *= 1.002  # the open at which the first order had filled
    again = on_paper(revised, times, every, sealed)
    assert again.revised == [times[2]] and not again.unsealed
    assert again.steps[-1].equity == pytest.approx(first.steps[-1].equity, rel=1e-12)
    without = on_paper(revised, times, every)
    assert without.steps[-1].equity != pytest.approx(first.steps[-1].equity, rel=1e-6)


def test_before_the_first_signal_there_is_nothing() -> None:
    candles, times = market(5)
    nothing = on_paper(candles, times, [])
    assert not nothing.steps and not nothing.trades
    paper = on_paper(candles, times, [signal(times[3], 1.0)])
    assert paper.open_time_ms == times[3:]
    assert placed([signal(times[0] - 5 * HOUR_MS, 1.0)], times) == {}


def test_an_order_has_the_sealed_size_and_levels() -> None:
    candles, times = market(8)
    one = signal(times[0], 1.0, fraction=0.5, stop=1.0, take_profit=1000.0)
    assert (one.order.fraction, one.order.stop, one.order.take_profit) == (0.5, 1.0, 1000.0)
    paper = on_paper(candles, times, [one])
    (fill,) = paper.ledger(CASH).fills
    assert fill.qty * fill.price * 1.001 == pytest.approx(CASH / 2)
