"""The rows of an agent: standardised features, and the parts train, test and validate, split by time with a purge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from ml.agent.environment import Market
from ml.agent.settings import AgentSettings
from ml.data.candle_columns import CLOSE
from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.errors import CaseError
from ml.evaluation.preparation import MINIMAL_ROWS
from ml.evaluation.splits import split_by_time
from ml.promotion.significance import FEWEST_DAYS
from ml.timeframes import DAY_MS

#: Candles from a decision to the one that it is traded in.
HORIZON = 1
#: Standardised features beyond this number of deviations look alike.
LARGEST_FEATURE = 5.0
Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Parts:
    """A dataset as an agent sees it.

    Attributes:
        table: (n, columns) features, standardised by the train rows; 0 where unknown.
        market: all candles.
        train: first row to learn from, and the row after the last one.
        test: the same of the part that chooses when to stop.
        validate: the same of the part that chose nothing.
    """

    table: npt.NDArray[np.float32]
    market: Market
    train: Range
    test: Range
    validate: Range


def parts_of(dataset: Dataset, settings: AgentSettings) -> Parts:
    """Standardise the features of a dataset by its train rows and split it.

    Raises:
        CaseError: it has no column of the groups, or a part has too few rows.
    """
    columns = [name for name, group in zip(dataset.columns, dataset.groups, strict=True) if group in settings.groups]
    if not columns:
        raise CaseError(
            f"Dataset {dataset.id} has no column of the groups {', '.join(settings.groups)}. Put one of them into a "
            "search space and run `candleworks export`."
        )
    split = split_by_time(
        len(dataset),
        train_fraction=settings.train_fraction,
        validation_fraction=settings.test_fraction,
        horizon=HORIZON,
        lags=settings.window,
    )
    features = np.asarray(dataset.features[:, [dataset.places[name] for name in columns]], dtype=np.float64)
    complete = np.asarray(np.isfinite(features).all(axis=1))
    known = np.zeros(len(dataset), dtype=bool)
    known[settings.window - 1 :] = sliding_window_view(complete, settings.window).all(axis=1)
    known &= np.asarray(dataset.run_length) >= settings.window
    candles = np.asarray(dataset.candles, dtype=np.float64)
    moves = np.diff(np.log(candles[: split.train[1], CLOSE]))
    unit = float(moves.std()) * settings.window**0.5 or 1.0
    market = Market(candles, np.asarray(dataset.open_time_ms), known, unit)
    parts = Parts(
        _standardised(features, complete, split.train[1]), market, split.train, split.validation, split.holdout
    )
    for name in ("train", "test", "validate"):
        _check(dataset, market, name, getattr(parts, name))
    return parts


def _standardised(features: Floats, complete: npt.NDArray[np.bool_], train_end: int) -> npt.NDArray[np.float32]:
    learnt = features[:train_end][complete[:train_end]]
    if not len(learnt):
        raise CaseError("No train row has all features of the agent. Ingest more candles.")
    deviation = learnt.std(axis=0)
    scaled = (features - learnt.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    table: npt.NDArray[np.float32] = np.nan_to_num(np.clip(scaled, -LARGEST_FEATURE, LARGEST_FEATURE)).astype(
        np.float32
    )
    return table


def _check(dataset: Dataset, market: Market, name: str, part: Range) -> None:
    start, stop = part
    rows, times = int(market.known[start:stop].sum()), market.open_time_ms
    days = len(np.unique(times[start:stop] // DAY_MS))
    if rows < MINIMAL_ROWS or days < FEWEST_DAYS:
        raise CaseError(
            f"The {name} part of {dataset.series} has {rows} usable rows on {days} days; at least {MINIMAL_ROWS} on "
            f"{FEWEST_DAYS} are needed. Ingest more candles."
        )
