"""Search spaces: ranges whose combinations are test cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, to_jsonable_python

from ml import symbols
from ml.canonical import canonical_json
from ml.data.targets import LABELS, NEXT_CANDLE, TARGETS
from ml.errors import CaseError, FaultsError
from ml.models import ENSEMBLE, MODELS
from ml.models.parameters import Scalar, did_you_mean, filled
from ml.search.cases import (
    WalkForward,
    Weights,
    labels_problem,
    lags_problem,
    member_problem,
    target_problem,
    unit_problem,
    unknown_problem,
    weights_problem,
)
from ml.search.halving import FEWEST_TRAIN_ROWS, Halving
from ml.series import Series
from ml.timeframes import TIMEFRAMES
from ml.toml_files import read_toml

#: Values of the switch of a group or column.
SWITCH = {"on": (True,), "off": (False,), "both": (True, False)}


def _several(value: Any) -> Any:
    """A single value is a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _sets(value: Any) -> Any:
    """One set of seeds may be written without the outer brackets, and one seed without any."""
    values = _several(value)
    return (values,) if values and all(isinstance(seed, int) for seed in values) else tuple(map(_several, values))


def _sets_of_names(value: Any) -> Any:
    """One set of members may be written without the outer brackets."""
    values = _several(value)
    return (values,) if values and all(isinstance(name, str) for name in values) else values


def _ranges(params: Any) -> Any:
    if not isinstance(params, dict):
        return params
    return {name: _ranges(value) if isinstance(value, dict) else _several(value) for name, value in params.items()}


def _once(values: Sequence[Any]) -> tuple[Any, ...]:
    """The values without duplicates; 1 and 1.0 are distinct, as in a key."""
    return tuple({canonical_json(to_jsonable_python(value)): value for value in values}.values())


def _raise(problems: Iterable[str | None]) -> None:
    """Raise all problems of a key together, one line each."""
    if found := list(dict.fromkeys(problem for problem in problems if problem)):
        raise ValueError("\n".join(found))


def _raise_for_each(
    problem: Callable[[str, str, str], str | None], info: ValidationInfo, values: Sequence[str]
) -> None:
    """Raise the problems of values with each model and target of the space."""
    models, targets = info.data.get("model", ()), info.data.get("target", ())
    _raise(problem(model, target, value) for model in models for target in targets for value in values)


Several = BeforeValidator(_several)
Names = Annotated[tuple[str, ...], Several]
Values = Annotated[tuple[Scalar, ...], Field(min_length=1)]
#: Parameter -> its values, and model -> parameter -> values of that model only.
Ranges = dict[str, Values | dict[str, Values]]


class SearchSpace(BaseModel):
    """Ranges whose combinations are test cases. Every range is enumerated; a single value is a range of one.

    Groups and columns of the feature catalogue are switched "on", "off" or "both"; a group that is not named is off.
    A table in `params` under the name of a model has ranges for that model only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model: Names = Field(description="One model or several.", min_length=1)
    symbols: Names = Field((), description="Empty: all.")
    timeframes: Names = Field((), description="Empty: all.")
    groups: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    target: Names = Field((NEXT_CANDLE,), description="One target or several.", min_length=1)
    labels: tuple[str, ...] = LABELS
    lags: Annotated[tuple[Annotated[int, Field(ge=1, le=500)], ...], Several] = Field((1,), min_length=1)
    train_rows: Annotated[tuple[Literal["all"] | Annotated[int, Field(ge=FEWEST_TRAIN_ROWS)], ...], Several] = Field(
        ("all",), description="Number of the latest usable train rows to learn from.", min_length=1
    )
    walk_forward: Annotated[tuple[Literal["off"] | WalkForward, ...], Several] = Field(
        ("off",), description="Walk-forward evaluations.", min_length=1
    )
    weights: Annotated[tuple[Literal["equal"] | Weights, ...], Several] = Field(
        ("equal",), description="Weights of the train rows.", min_length=1
    )
    unit: Names = Field(
        ("none",), description="Feature columns of mean ranges in units of which it is learnt; none: in log units."
    )
    pool: Annotated[tuple[Literal["none", "all"], ...], Several] = Field(
        ("none",), description="Whether it is learnt from the other markets too, which takes a unit.", min_length=1
    )
    close: Annotated[tuple[Literal["last", "learnt"], ...], Several] = Field(
        ("last",), description="Forecasts of the close: the last close, or a learnt one.", min_length=1
    )
    seeds: Annotated[tuple[tuple[int, ...], ...], BeforeValidator(_sets)] = Field(
        ((0,),), description="The seeds of a case, or several sets of seeds.", min_length=1, validate_default=True
    )
    params: Annotated[Ranges, BeforeValidator(_ranges)] = Field(default_factory=dict)
    members: Annotated[tuple[Annotated[Names, Field(min_length=2)], ...], BeforeValidator(_sets_of_names)] = Field(
        (),
        description="Of the model ensemble: sets of models, which take part with their best case, or of case keys.",
        validate_default=True,
    )
    sample: PositiveInt | None = Field(None, description="Number of cases to try, drawn at random; None: all.")
    sample_seed: int = Field(0, ge=0, description="Seed of the sample.")
    halving: Halving | None = None

    # Each rule concerns its key and the keys above it, so that all faults of a space are reported together.

    @field_validator(
        "model", "target", "lags", "train_rows", "walk_forward", "weights", "unit", "pool", "close", "seeds"
    )
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _once(values)

    @field_validator("model")
    @classmethod
    def _models_known(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        _raise(unknown_problem("model", model, MODELS) for model in models)
        return models

    @field_validator("symbols")
    @classmethod
    def _names_of_markets(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _raise(symbols.problem(symbol) for symbol in names)
        return names

    @field_validator("timeframes")
    @classmethod
    def _timeframes_known(cls, timeframes: tuple[str, ...]) -> tuple[str, ...]:
        _raise(unknown_problem("timeframe", timeframe, TIMEFRAMES) for timeframe in timeframes)
        return timeframes

    @field_validator("groups", "columns")
    @classmethod
    def _switches(cls, switches: dict[str, str]) -> dict[str, str]:
        _raise(
            f"{name} = {switch!r} is not a switch. Use on, off or both."
            for name, switch in switches.items()
            if switch not in SWITCH
        )
        return switches

    @field_validator("target")
    @classmethod
    def _targets_learnt(cls, targets: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        models = info.data.get("model", ())
        _raise(target_problem(model, target) for model in models for target in targets)
        if not models:  # reported by their own rule
            _raise(unknown_problem("target", target, TARGETS) for target in targets)
        return targets

    @field_validator("labels")
    @classmethod
    def _labels_complete(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        _raise([labels_problem(labels)])
        return labels

    @field_validator("lags")
    @classmethod
    def _windows_fit(cls, lags: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        _raise(lags_problem(model, rows) for model in info.data.get("model", ()) for rows in lags)
        return lags

    @field_validator("weights")
    @classmethod
    def _weights_taken(cls, weights: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        _raise_for_each(weights_problem, info, [weight for weight in weights if weight != "equal"])
        return weights

    @field_validator("unit")
    @classmethod
    def _units_taken(cls, units: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not units:
            raise ValueError('expected "none" or a column of mean ranges, such as har_range_6')
        _raise_for_each(unit_problem, info, [unit for unit in units if unit != "none"])
        return units

    @field_validator("pool")
    @classmethod
    def _ratios_pooled(cls, pools: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "all" in pools and "none" in info.data.get("unit", ()):
            raise ValueError("only ratios can be pooled over markets: give unit a column, such as har_range_6")
        return pools

    @field_validator("seeds")
    @classmethod
    def _seeds_enough(cls, seeds: tuple[tuple[int, ...], ...], info: ValidationInfo) -> tuple[tuple[int, ...], ...]:
        fewest = min(len(set(one)) for one in seeds)
        _raise(
            f"results of {model} depend on the seed: expected at least {MODELS[model].minimal_seeds} different ones, "
            f"was {fewest}"
            for model in info.data.get("model", ())
            if fewest < MODELS[model].minimal_seeds
        )
        return seeds

    @field_validator("params")
    @classmethod
    def _params_taken(cls, params: Ranges, info: ValidationInfo) -> Ranges:
        models = info.data.get("model", ())
        if not models:  # reported by their own rule
            return params
        _raise(
            unknown_problem("model of this space", name, models)
            for name, values in params.items()
            if isinstance(values, dict)
        )
        _raise(problem for model in models for problem in _param_problems(model, _params_of(params, model)))
        return params

    @field_validator("members")
    @classmethod
    def _members_known(cls, sets: tuple[tuple[str, ...], ...], info: ValidationInfo) -> tuple[tuple[str, ...], ...]:
        models = info.data.get("model", ())
        if (ENSEMBLE in models) != bool(sets) and models:
            raise ValueError(f"sets of members belong to the model {ENSEMBLE}, and only to it")
        if ENSEMBLE in models and len(models) > 1:
            raise ValueError(f"{ENSEMBLE} needs a space of its own")
        _raise(member_problem(name) for names in sets for name in names)
        return sets

    @field_validator("halving")
    @classmethod
    def _rungs_fit(cls, halving: Halving | None, info: ValidationInfo) -> Halving | None:
        data = info.data
        if halving is not None and {"model", "target", "train_rows", "params"} <= data.keys():
            epochs = any("epochs" in _params_of(data["params"], model) for model in data["model"])
            halving.check_fits(data["model"], data["target"], data["train_rows"] != ("all",), epochs)
        return halving

    def params_of(self, model: str) -> dict[str, tuple[Scalar, ...]]:
        """The parameter ranges of one model, typed: the shared ones, overridden by its own."""
        return {
            name: _once([filled(model, MODELS[model].parameters, {name: value})[name] for value in values])
            for name, values in _params_of(self.params, model).items()
        }

    def seeds_of(self, model: str) -> tuple[tuple[int, ...], ...]:
        """The sets of seeds for one model; only the first for a model that takes no seed."""
        return self.seeds if MODELS[model].takes_seed else self.seeds[:1]

    def applies_to(self, series: Series) -> bool:
        """Whether the space has cases for this series."""
        return (not self.symbols or series.symbol in self.symbols) and (
            not self.timeframes or series.timeframe in self.timeframes
        )

    def may_use(self, column: str, group: str) -> bool:
        """Whether some case of this space uses the column, which belongs to the group."""
        return self.columns.get(column, self.groups.get(group, "off")) != "off"

    def series_problems(self, series: Sequence[Series]) -> list[str]:
        """Symbols and timeframes that the configured series lack, one line each."""
        markets = sorted({one.symbol for one in series})
        problems = [problem for name in self.symbols if (problem := unknown_problem("symbol", name, markets))]
        if not problems and not any(self.applies_to(one) for one in series):
            timeframes = ", ".join(dict.fromkeys(one.timeframe for one in series))
            problems = [f"No series has its timeframes {', '.join(self.timeframes)}. There are: {timeframes}."]
        remedy = 'Change it, add it to [markets], or set sweep.unused_spaces = "skip".'
        return [f"Search space {self.name!r}: {problem} {remedy}" for problem in problems]

    def catalogue_problems(self, catalogue: Mapping[str, str]) -> list[str]:
        """Groups and columns that a feature catalogue (column -> group) lacks, one line each."""
        listing = "`candleworks features` lists all."
        groups = set(catalogue.values())
        named = [unknown_problem("group", name, groups, listing) for name in self.groups]
        named += [unknown_problem("column", name, catalogue, listing) for name in self.columns]
        named += [self._unit_fault(unit, catalogue) for unit in self.unit if unit != "none"]
        problems = [problem for problem in named if problem]
        learners = [model for model in self.model if MODELS[model].inputs == "features"]
        if not problems and learners and not any(self.may_use(*entry) for entry in catalogue.items()):
            problems = [f"No group or column is on, but {learners[0]} learns from features. {listing}"]
        return [f"Search space {self.name!r}: {problem}" for problem in problems]

    def _unit_fault(self, unit: str, catalogue: Mapping[str, str]) -> str | None:
        """The reason why a column cannot be the unit of all cases; None if it can."""
        if problem := unknown_problem("column", unit, catalogue, "`candleworks features` lists all."):
            return problem
        switch = self.columns.get(unit, self.groups.get(catalogue[unit], "off"))
        return None if switch == "on" else f"{unit} is a unit, so it has to be on in every case, was {switch}."


def _params_of(params: Ranges, model: str) -> dict[str, tuple[Scalar, ...]]:
    shared = {name: values for name, values in params.items() if not isinstance(values, dict)}
    own = params.get(model)
    return {**shared, **own} if isinstance(own, dict) else shared


def _param_problems(model: str, ranges: Mapping[str, tuple[Scalar, ...]]) -> Iterator[str]:
    for name, values in ranges.items():
        for value in values:
            try:
                filled(model, MODELS[model].parameters, {name: value})
            except ValueError as error:
                yield str(error)
                break


def raise_problems(where: str, problems: Sequence[str]) -> None:
    """Raise all problems of search spaces together.

    Raises:
        FaultsError: there are problems.
    """
    if problems:
        raise FaultsError(where, problems)


def read_search_spaces(path: Path) -> list[SearchSpace]:
    """The search spaces of a TOML file, one ``[[space]]`` table each.

    Raises:
        CaseError: the file cannot be read, or a space is invalid; with all faults of all spaces.
    """
    tables = read_toml(path, "the search space", CaseError).get("space")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise CaseError(f"{path} has no [[space]] table. Add one; ml/search_spaces/default.toml shows how.")
    spaces, problems = [], []
    for number, table in enumerate(tables, 1):
        try:
            spaces.append(SearchSpace(**table))
        except ValidationError as error:
            called = f"Search space {table['name']!r}" if "name" in table else f"Search space {number}"
            problems += [f"{called}: {line}" for one in error.errors() for line in _lines(one)]
    raise_problems(str(path), problems)
    return spaces


def _lines(problem: ErrorDetails) -> list[str]:
    """A pydantic error as lines that name the key."""
    # After the key come the branches of unions, named by type.
    key = ".".join(str(part) for part in problem["loc"][: 2 if problem["loc"][0] == "params" else 1])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return [f"Unknown key {key!r}.{did_you_mean(key, SearchSpace.model_fields)}"]
    if problem["type"] == "too_short":
        return [f"{key}: it has no value. Give at least one."]
    found = "" if problem["type"] in ("value_error", "missing") else f", was {problem['input']!r}"
    message = problem["msg"].removeprefix("Value error, ").removesuffix(".")
    return [f"{key}: {line.removesuffix('.')}{found}." for line in message.split("\n")]
