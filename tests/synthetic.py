"""Small synthetic series for the tests of the domain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ml.data.datasets import Dataset
from ml.data.targets import TARGETS, Floats
from ml.execution.arrivals import Arrivals, HomeStore, Signers
from ml.execution.results import read_results
from ml.search.cases import EVALUATION, TestCase
from ml.search.spaces import SearchSpace
from ml.series import Series
from ml.store import Store

SERIES = Series(exchange="test", symbol="BTC/USDT", timeframe="1h")
HOUR_MS = 3_600_000
#: In the order in which a case has them.
FEATURES = ("range_24", "range_6", "return_1")
#: Feature column -> group, for search spaces that no dataset is needed for.
CATALOGUE = {"a_1": "a", "a_2": "a", "b_1": "b", "c_1": "c"}


def make_dataset(rows: int = 3000, seed: int = 1, *, clustered: bool = True, edge: float = 0.0) -> Dataset:
    """A market whose volatility clusters (or not), with an optional edge: return t + 1 follows return t by `edge`."""
    random = np.random.default_rng(seed)
    log_volatility = np.zeros(rows)
    if clustered:
        shocks = random.normal(0, 0.15, rows)
        for t in range(1, rows):
            log_volatility[t] = 0.97 * log_volatility[t - 1] + shocks[t]
    steps = random.normal(0, 0.002, (rows, 12)) * np.exp(log_volatility)[:, None]
    if edge:
        for t in range(1, rows):
            steps[t] += edge * steps[t - 1].sum() / 12
    paths = np.cumsum(steps, axis=1)
    moves = np.stack([np.maximum(paths.max(axis=1), 0), np.minimum(paths.min(axis=1), 0), paths[:, -1]], axis=1)
    close = 100 * np.exp(np.cumsum(moves[:, 2]))
    opens = close / np.exp(moves[:, 2])
    candles = np.column_stack([opens, opens * np.exp(moves[:, 0]), opens * np.exp(moves[:, 1]), close, np.ones(rows)])
    labels = np.full((rows, 3), np.nan)
    labels[:-1] = moves[1:]
    span = pd.Series(moves[:, 0] - moves[:, 1])
    features = np.column_stack([span.rolling(24).mean(), span.rolling(6).mean(), moves[:, 2]]).astype(np.float32)
    return Dataset(
        series=SERIES,
        columns=FEATURES,
        groups=("range", "range", "returns"),
        features=features,
        labels=labels,
        candles=candles,
        open_time_ms=np.arange(rows, dtype=np.int64) * HOUR_MS + 1_600_000_000_000 // HOUR_MS * HOUR_MS,
        run_length=np.arange(1, rows + 1, dtype=np.int32),
        timeframe_ms=HOUR_MS,
        id="synthetic",
    )


def _ahead(values: Floats, candles: int) -> Floats:
    """(n, candles) the values of the candles after each row, NaN where the series ends before the last of them."""
    view = np.lib.stride_tricks.sliding_window_view(values[1:], candles)
    return np.concatenate([view, np.full((len(values) - len(view), candles), np.nan)])


def with_all_kinds(dataset: Dataset, *, reach: float = 0.02, fees: float = 0.006) -> Dataset:
    """The dataset with a target of every kind beside the next candle.

    Args:
        dataset: of the next candle.
        reach: a high (low) that is so much above (below) the close makes an event of `highlow2`.
        fees: a move of the close by more than this is worth a trade.
    """
    close = dataset.candles[:, 3]
    closes = _ahead(close, 100) / close[:, None]
    summary = np.full((len(close), 3), np.nan)
    events = np.full((len(close), 2), np.nan)
    for t in range(len(close) - 30):
        high, low = dataset.candles[t + 1 : t + 31, 1].max(), dataset.candles[t + 1 : t + 31, 2].min()
        summary[t] = 100 * (np.array([high, low, close[t + 30]]) / close[t] - 1)
        day = dataset.candles[t + 1 : t + 25]
        events[t] = day[:, 1].max() >= close[t] * (1 + reach), day[:, 2].min() <= close[t] * (1 - reach)
    trade = np.full((len(close), 1), np.nan)
    move = close[1:] / close[:-1] - 1
    trade[:-1, 0] = np.sign(move) * (np.abs(move) > fees)
    labels = {"horizon_summary_30": summary, "closes_100": np.log(closes), "highlow2": events, "trade": trade}
    return replace(
        dataset,
        labels=np.hstack([dataset.labels, *labels.values()]),
        targets={**dataset.targets, **{name: TARGETS[name].labels for name in labels}},
    )


def make_case(**changes: object) -> TestCase:
    """A Ridge case on all features of `make_dataset`, which learns the close too."""
    ours: dict[str, object] = {"series": SERIES, "features": FEATURES, "model": "ridge"}
    return TestCase(**{**ours, "evaluation": EVALUATION, "close": "learnt", **changes})  # type: ignore[arg-type]


def make_space(**changes: object) -> SearchSpace:
    """A search space of one Ridge case on the group a of `CATALOGUE`."""
    return SearchSpace(**{"name": "test", "model": "ridge", "groups": {"a": "on"}, **changes})  # type: ignore[arg-type]


def home_store(folder: Path, signers: Signers | None = None) -> HomeStore:
    """A store in `folder`/store that counts results in the order of their arrival in `folder`."""
    known: Signers = {} if signers is None else signers
    return HomeStore(str(folder / "store"), Arrivals(folder / "arrivals.sqlite", lambda: known))


def finished_cases(store: Store, dataset_id: str) -> dict[str, str]:
    """Case key -> status of all cases with a result on a dataset."""
    return {row["case_key"]: row["status"] for row in read_results(store, dataset_id, ["status"])}
