"""Types of the stored record of agents; without TensorFlow, which a process that only prints it need not load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ml.data.targets import Floats
from ml.records import SeriesKey


class Ratios(TypedDict):
    """Equity at the end over the capital at the start, after costs, of each part."""

    train: float
    test: float
    validate: float


class SeedRecord(TypedDict):
    """An agent of one seed; `trades` are those of validate, `iterations` the one that test chose."""

    seed: int
    ratios: Ratios
    trades: int
    iterations: int
    played: int
    stopped: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """An agent of one seed with its daily logarithmic gains on validate (days,)."""

    record: SeedRecord
    gains: Floats


class AgentRecord(SeriesKey):
    """The agents of a series: one per seed, and the report of their mean on candles that chose nothing.

    `mean` and `holding` are ratios (the mean one is geometric); `over_nothing_pct` and `over_holding_pct` are gains on
    validate in percent, each with the ends of its 90 % interval, null with too few days. `openings` counts the reports
    on overlapping validate candles with this one, `level` is that of the test behind `is_promoted`.
    """

    preset: str
    dataset_id: str
    code_version: str
    fee: float
    slippage: float
    start_time: str
    end_time: str
    seeds: list[SeedRecord]
    mean: Ratios
    holding: Ratios
    over_nothing_pct: float
    over_nothing_lower_pct: float | None
    over_nothing_upper_pct: float | None
    over_holding_pct: float
    over_holding_lower_pct: float | None
    over_holding_upper_pct: float | None
    openings: int
    level: float
    is_promoted: bool
    reason: str
