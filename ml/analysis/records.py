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


class BoundaryRow(OfDataset):
    """Where a classifier decides, over two of its inputs: a row of the table ``boundaries``."""

    x_feature: str
    y_feature: str
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


class BoundaryCellRow(OfDataset):
    """A cell of the plane: decision and probability with all other inputs at their median."""

    x_feature: str
    y_feature: str
    #: Centre of the cell.
    x: float
    y: float
    decided: int
    probability: float
    #: Train rows inside of the cell's surroundings, and whether these are too few to say anything.
    n_train: int
    is_sparse: bool


class BoundaryPointRow(OfDataset):
    """A held-out row in the plane, and the decision on its own inputs."""

    x_feature: str
    y_feature: str
    open_time: datetime
    x: float
    y: float
    happened: int
    decided: int
