"""Types of the rows of computed tables, as `ml.records` has those of results. Times are UTC."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from ml.records import SeriesKey


class OfDataset(SeriesKey):
    """The key of a series, and the dataset that the row was computed from."""

    dataset_id: str


class EffectCaseRow(OfDataset):
    """A test case whose skill is comparable with that of the others of its dataset."""

    case_key: str
    #: tested or failed; a failed one has no skill.
    status: str
    skill: float | None
    #: JSON: factor -> value, both text. A factor that does not apply to the case is absent.
    factors: str


class Effect(TypedDict):
    """How much of the spread of the skill a factor explains, over cases that may be a part of all."""

    factor: str
    rank: int
    #: Share of the variance of the skill, with the ends of its 90 % interval; below 0 by chance.
    importance: float
    lower: float
    upper: float
    #: Tested cases that the factor applies to, failed ones, and distinct values among the tested ones.
    n: int
    n_failed: int
    n_values: int
    best_value: str
    best_mean: float
    worst_value: str
    worst_mean: float


class EffectValue(TypedDict):
    """The skill of the cases with one value of a factor."""

    factor: str
    value: str
    #: Position of the value among those of its factor: numbers by size, others by name.
    place: int
    #: Null where all cases with the value failed; the ends of the 90 % interval need two tested ones.
    mean_skill: float | None
    lower: float | None
    upper: float | None
    best_skill: float | None
    n: int
    n_failed: int
    #: Fewer than `ml.analysis.effects.FEW` tested cases: the mean may be luck.
    is_few: bool


class EffectRow(OfDataset, Effect):
    """A row of the table ``effects``. `scope` is "all" or "best half" of the tested cases."""

    scope: str


class EffectValueRow(OfDataset, EffectValue):
    """A row of the table ``effect_values``; `scope` as in `EffectRow`."""

    scope: str


class OfPair(OfDataset):
    """The key of a decision boundary: a dataset and two of the inputs of its classifier."""

    x_feature: str
    y_feature: str


class BoundaryRow(OfPair):
    """Where a classifier decides, over two of its inputs: a row of the table ``boundaries``."""

    #: Whether the two are the features that its accuracy depends on most.
    is_default: bool
    case_key: str
    model: str
    target: str
    #: JSON list: the class or event of each number in the other tables.
    classes: str
    #: Shares of the held-out rows: decided rightly, and of the class that was most frequent in the train rows.
    accuracy: float
    majority_accuracy: float
    accuracy_se: float
    majority_class: str
    n_inputs: int
    n_train: int
    n_held_out: int


class BoundaryCellRow(OfPair):
    """A cell of the plane: decision and probability with all other inputs at their median."""

    #: Centre of the cell.
    x: float
    y: float
    decided: int
    probability: float
    #: Train rows inside of the cell's surroundings, and whether these are too few to say anything.
    n_train: int
    is_sparse: bool


class BoundaryPointRow(OfPair):
    """A held-out row in the plane, and the decision on its own inputs."""

    open_time: datetime
    x: float
    y: float
    happened: int
    decided: int


class Contribution(TypedDict):
    """The work of a machine in a period, without its share; see `ml.analysis.contributions`."""

    machine: str
    cases: int
    failed: int
    cpu_hours: float
    mean_seconds: float
    time_against_fleet: float | None
    best_skill: float | None
    best_case: str | None
    verified: int
    failed_verifications: int
    first_seen: datetime
    last_seen: datetime


class Mark(TypedDict, total=False):
    """A rectangle, line or text of a picture, in its units."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    text: str


class Chart(TypedDict):
    """The picture of a page: stacked bars with a legend (text, colour), lines and days of its axes."""

    width: int
    height: int
    left: int
    most: str
    bars: list[Mark]
    legend: list[Mark]
    lines: list[Mark]
    days: list[Mark]
