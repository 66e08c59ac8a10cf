"""Test cases: frozen descriptions with a stable key.

A test case has everything that its result depends on besides the candles: the series, the feature columns, the lags,
the model with its parameters, the seeds and the evaluation procedure. Its key is a hash of that description, so the
same case is recognised on every machine and in every enumeration of a search space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from ml.canonical import digest
from ml.data.datasets import CANDLE_COLUMNS, CANDLES_PREFIX
from ml.data.targets import LABELS, NEXT_CANDLE, TARGETS
from ml.models import ENSEMBLE, MODELS
from ml.models.parameters import Scalar, did_you_mean, filled
from ml.records import CaseContent
from ml.series import Series

Weights = Literal["inverse_scale"]
FEWEST_MEMBERS = 2
#: The present version of the evaluation of candles. Results of different versions are not comparable.
#: 1 (None): one fit; the regressions of `ml.metrics.baselines` do not compete; intervals of `ml.metrics.intervals`.
#: 2: regular refits, as in service; all baselines compete; intervals by hour, of `ml.metrics.conformal`.
EVALUATION: Literal[2] = 2
#: Fields added later. They are left out of the key while they are None, so older keys are unchanged.
LATER_FIELDS = ("train_rows", "walk_forward", "weights", "unit", "pool", "evaluation", "close", "members")
#: Prefixes of the feature columns in log units, which grow with volatility: those that may be a unit and are divided by
#: one. The feature catalogue has their unit as `log`.
LOGARITHMIC = ("har_", "season_range_", "candle_", "log_return_")
NOT_LOGARITHMIC = ("candle_close_location",)
#: Prefixes of the columns that may be a unit: mean ranges.
RANGES = ("har_range_", "season_range_")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def labels_problem(labels: tuple[str, ...]) -> str | None:
    """The reason why these are not the labels of a candle; None if they are."""
    if labels == LABELS:
        return None
    missing = [name for name in LABELS if name not in labels]
    why = f"{', '.join(missing)} missing" if missing else "the order differs"
    return f"Expected the labels high, low, close, was {', '.join(labels)}: {why}."


def unknown_problem(what: str, name: str, known: Iterable[str], listing: str = "") -> str | None:
    """An error for an unknown name, with a suggestion; None if the name is known.

    Args:
        what: the kind of name, such as "model".
        name: as given.
        known: all names.
        listing: where to find them, if they are too many for a line.
    """
    names = list(known)
    if name in names:
        return None
    return f"Unknown {what} {name!r}.{did_you_mean(name, names)} {listing or f'There are: {_listed(names)}.'}"


def target_problem(model: str, target: str) -> str | None:
    """The reason why a known model cannot learn a target; None if it can."""
    if problem := unknown_problem("target", target, TARGETS):
        return problem
    kinds, kind = MODELS[model].kinds, TARGETS[target].kind
    if kind in kinds:
        return None
    targets = _listed(name for name, target in TARGETS.items() if target.kind in kinds)
    models = _listed(name for name, family in MODELS.items() if kind in family.kinds)
    return (
        f"{model} learns no {kind} targets such as {target!r}. It learns: {targets}; "
        f"models that learn {kind} targets: {models}."
    )


def lags_problem(model: str, lags: int) -> str | None:
    """The reason why a known model cannot take windows of `lags` rows; None if it can."""
    most = MODELS[model].most_lags
    return None if lags <= most else f"{model} takes {most} lags at most, was {lags}."


def weights_problem(model: str, target: str, weights: str | None) -> str | None:
    """The reason why a case cannot have these weights; None if it can."""
    if weights is None or (MODELS[model].takes_weights and TARGETS[target].kind == "candle"):
        return None
    models = _listed(name for name, family in MODELS.items() if family.takes_weights)
    return f"{model} learns {target} from rows without weights. Weights are for next_candle and: {models}."


def is_logarithmic(column: str) -> bool:
    """Whether a feature column is in log units and is divided by the unit of a case.

    >>> is_logarithmic("har_range_6"), is_logarithmic("season_hour")
    (True, False)
    """
    return column.startswith(LOGARITHMIC) and column not in NOT_LOGARITHMIC


def unit_problem(model: str, target: str, unit: str | None) -> str | None:
    """The reason why a case cannot be in units of this column; None if it can."""
    if unit is None:
        return None
    if MODELS[model].inputs != "features" or model == ENSEMBLE or TARGETS[target].kind != "candle":
        return f"{model} learns {target} in log units only. A unit is for next_candle and models of features."
    if not unit.startswith(RANGES):
        return f"{unit} is no unit. Use a column of mean ranges, such as har_range_6."
    return None


def _unit_missing(case: TestCase) -> str | None:
    if case.unit is not None and case.unit not in case.features:
        return f"The unit {case.unit} is not among the features. Switch it on."
    if case.pool is not None and case.unit is None:
        return "Only ratios can be pooled over markets. Give the case a unit, such as har_range_6."
    return None


def member_problem(name: str) -> str | None:
    """The reason why this is no name of a member in a search space, a model or the key of a case; None if it is one."""
    if re.fullmatch("[0-9a-f]{16}", name):
        return None
    models = [model for model, family in MODELS.items() if family.inputs == "features" and "candle" in family.kinds]
    return unknown_problem("member", name, models)


def members_problem(case: TestCase) -> str | None:
    """The reason why a case cannot have these members; None if it can."""
    members = case.members or ()
    if case.model != ENSEMBLE:
        return f"{case.model} has no members. Use the model {ENSEMBLE}." if members else None
    if len({member.key for member in members}) < FEWEST_MEMBERS or len(members) != len({m.key for m in members}):
        return f"An ensemble needs {FEWEST_MEMBERS} different members at least."
    odd = [member.model for member in members if MODELS[member.model].inputs != "features"]
    if odd:
        return f"Members of an ensemble learn from features; {odd[0]} does not."
    if any(_frame(member) != _frame(members[0]) for member in members):
        return "Members of an ensemble have the same series, target, fractions and evaluation."
    return None


def _frame(case: TestCase) -> tuple[object, ...]:
    """What members of an ensemble have in common."""
    fractions = (case.train_fraction, case.validation_fraction)
    return (case.series, case.target, case.labels, *fractions, case.walk_forward, case.evaluation)


def ensemble_of(members: Sequence[TestCase]) -> TestCase:
    """The case whose forecast is the mean of the forecasts of other cases.

    Raises:
        ValueError: they cannot be members of one ensemble.
    """
    ordered = sorted(members, key=lambda member: member.key)
    first = ordered[0]
    return TestCase(
        series=first.series,
        features=tuple(name for member in ordered for name in member.features),
        feature_set="mean of " + ", ".join(member.model for member in ordered),
        target=first.target,
        labels=first.labels,
        lags=max(member.lags for member in ordered),
        model=ENSEMBLE,
        train_fraction=first.train_fraction,
        validation_fraction=first.validation_fraction,
        walk_forward=first.walk_forward,
        evaluation=first.evaluation,
        members=tuple(member.model_copy(update={"feature_set": ""}) for member in ordered),
    )


class WalkForward(BaseModel):
    """Walk-forward evaluation: regular refits through the validation rows, as in live use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refit_every: int = Field(ge=1, description="Rows predicted by each fit.")
    rolling: bool = Field(False, description="Rolling window of `train_rows` rows; false: expanding window.")


class TestCase(BaseModel):
    """One combination to evaluate on one series. `feature_set` is a display name and not part of the key."""

    __test__ = False  # keeps pytest from collecting the class
    model_config = ConfigDict(extra="forbid", frozen=True)

    series: Series
    features: tuple[str, ...] = Field((), description="Feature columns, sorted; none if the model takes raw candles.")
    feature_set: str = Field("", description="Display name of the selected groups.")
    target: str = Field(NEXT_CANDLE, description="The predicted target: a name in `ml.data.targets.TARGETS`.")
    labels: tuple[str, ...] = LABELS
    lags: int = Field(1, ge=1, le=500, description="Rows in a window, the latest included.")
    model: str
    params: dict[str, Scalar] = Field(default_factory=dict)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    train_fraction: float = Field(0.6, gt=0, lt=1)
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    train_rows: int | None = Field(None, ge=100, description="Number of latest train rows to learn from; None: all.")
    walk_forward: WalkForward | None = Field(None, description="Walk-forward evaluation; None: one fit.")
    weights: Weights | None = Field(
        None, description="Weights of the train rows: the inverse of the EWMA range at each; None: equal ones."
    )

    unit: str | None = Field(
        None,
        description="Feature column of a mean range by which labels, and inputs in log units, are divided; None: none.",
    )
    pool: Literal["all"] | None = Field(
        None, description="Whether it also learns from the other markets of its dataset; None: from its own alone."
    )

    evaluation: Literal[2] | None = Field(
        None, description="Version of the evaluation (see `EVALUATION`); None: the first, and for other targets."
    )

    close: Literal["learnt"] | None = Field(
        None,
        description="The forecast of the close; None: the last close, which no model beats on most markets. "
        "The first version of the evaluation has learnt ones only.",
    )
    members: tuple[TestCase, ...] | None = Field(
        None, description="The cases whose mean forecast this one is; only for the model `ensemble`."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_description_per_fit(cls, content: Any) -> Any:
        """Normalise, so that equal fits have equal keys: defaults filled in, ignored fields dropped."""
        family = MODELS.get(content.get("model", "")) if isinstance(content, dict) else None
        if family is None:
            return content
        content = dict(content)
        if family.inputs == "candles":
            content |= {"features": (), "feature_set": "candles"}
        if isinstance(content.get("params", {}), dict):
            content["params"] = filled(content["model"], family.parameters, content.get("params", {}))
        if not family.takes_seed:
            content.pop("seeds", None)
        target = TARGETS.get(content.get("target", NEXT_CANDLE))
        if target is not None and target.kind != "candle":
            content.pop("evaluation", None)  # there is one version
        if content.get("evaluation") is None:
            content.pop("close", None)
        return content

    @field_validator("features", "seeds")
    @classmethod
    def _sorted_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(set(values)))

    @model_validator(mode="after")
    def _model_takes_it(self) -> TestCase:
        problem = (
            unknown_problem("model", self.model, MODELS)
            or labels_problem(self.labels)
            or target_problem(self.model, self.target)
            or lags_problem(self.model, self.lags)
            or weights_problem(self.model, self.target, self.weights)
            or unit_problem(self.model, self.target, self.unit)
            or _unit_missing(self)
            or members_problem(self)
        )
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _has_inputs(self) -> TestCase:
        if not self.features and MODELS[self.model].inputs == "features":
            raise ValueError(f"{self.model} learns from features, but there is none. Name at least one.")
        return self

    def member_columns(self, member: TestCase) -> tuple[int, ...]:
        """Places of a member's features among those of this ensemble."""
        places = {name: place for place, name in enumerate(self.features)}
        return tuple(places[name] for name in member.features)

    @property
    def keeps_close(self) -> bool:
        """Whether the close is forecast as the last close."""
        return self.evaluation is not None and self.close is None

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Columns of the model's input: the features, or prices and volume of raw candles."""
        return CANDLE_COLUMNS if MODELS[self.model].inputs == "candles" else self.features

    @property
    def lineage_columns(self) -> tuple[str, ...]:
        """All columns that it is fitted on, inputs and labels, named as in lineages."""
        prefix = CANDLES_PREFIX if MODELS[self.model].inputs == "candles" else ""
        return (*(prefix + name for name in self.input_columns), *TARGETS[self.target].columns)

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the description."""
        return digest({name: value for name, value in self.content().items() if name != "feature_set"})[:16]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with changed fields, which are not checked; it has a key of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("key", None)
        return copied

    def at_present(self) -> TestCase:
        """The case in the present version of the evaluation."""
        return self if TARGETS[self.target].kind != "candle" else self.model_copy(update={"evaluation": EVALUATION})

    def changed(self, **changes: object) -> TestCase:
        """The case with other values of fields that members of an ensemble have in common with it, checked."""
        members = None if self.members is None else [member.changed(**changes) for member in self.members]
        fields = {name: getattr(self, name) for name in TestCase.model_fields}
        return TestCase(**{**fields, **changes, "members": members})

    def content(self) -> CaseContent:
        """The description as plain values, as it is stored; fields of `LATER_FIELDS` only if they are set."""
        values = self.model_dump(mode="json").items()
        content = {name: value for name, value in values if value is not None or name not in LATER_FIELDS}
        if self.members is not None:
            content["members"] = [member.content() for member in self.members]
        return cast(CaseContent, content)
