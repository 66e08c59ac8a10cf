"""Search spaces: ranges whose combinations are test cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import to_jsonable_python

from ml.canonical import canonical_json
from ml.config import Series
from ml.data.targets import LABELS, NEXT_CANDLE
from ml.errors import CaseError
from ml.models import MODELS
from ml.search.cases import WalkForward
from ml.search.halving import Halving
from ml.toml_files import read_toml

Scalar = bool | int | float | str
#: What a switch of a group or column may say.
SWITCH = {"on": (True,), "off": (False,), "both": (True, False)}


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _sets(value: Any) -> Any:
    """One set of seeds may be written without the outer brackets."""
    return (value,) if all(isinstance(seed, int) for seed in value) else value


def _once(values: Sequence[Any]) -> tuple[Any, ...]:
    """The values without repetitions; 1 and 1.0 are two, as they are in a key."""
    return tuple({canonical_json(to_jsonable_python(value)): value for value in values}.values())


Names = Annotated[tuple[str, ...], BeforeValidator(_several)]
Values = tuple[Scalar, ...]


class SearchSpace(BaseModel):
    """Ranges whose combinations are test cases. Every range really enumerates.

    Groups and columns of the feature catalogue are switched "on", "off" or "both"; a group that is not named is off.
    A table in `params` under the name of a model holds ranges of that model alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model: Names = Field(description="One model or several.", min_length=1)
    symbols: tuple[str, ...] = Field((), description="Empty: all.")
    timeframes: tuple[str, ...] = Field((), description="Empty: all.")
    groups: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    target: Names = Field((NEXT_CANDLE,), description="One target or several.", min_length=1)
    labels: tuple[str, ...] = LABELS
    lags: tuple[int, ...] = Field((1,), min_length=1)
    train_rows: tuple[Literal["all"] | PositiveInt, ...] = Field(
        ("all",), description="Only the latest so many usable rows of the train part are learnt from.", min_length=1
    )
    walk_forward: tuple[Literal["off"] | WalkForward, ...] = Field(
        ("off",), description="Ways of refitting over the validation part.", min_length=1
    )
    seeds: Annotated[tuple[tuple[int, ...], ...], BeforeValidator(_sets)] = Field(
        ((0,),), description="The seeds of a case, or several such sets.", min_length=1, validate_default=True
    )
    params: dict[str, Values | dict[str, Values]] = Field(default_factory=dict)
    sample: PositiveInt | None = Field(None, description="Try only so many, drawn at random; None: all.")
    sample_seed: int = Field(0, ge=0, description="Another seed draws others.")
    halving: Halving | None = None

    @field_validator("model", "target", "lags", "train_rows", "walk_forward", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _once(values)

    @field_validator("groups", "columns")
    @classmethod
    def _switches(cls, switches: dict[str, str]) -> dict[str, str]:
        for name, switch in switches.items():
            if switch not in SWITCH:
                raise ValueError(f"{name} = {switch!r} is no switch. Use on, off or both.")
        return switches

    @model_validator(mode="after")
    def _fits_its_models(self) -> SearchSpace:
        fewest = min(len(set(seeds)) for seeds in self.seeds)
        for model in self.model:
            if model not in MODELS:
                raise ValueError(f"Unknown model {model!r}. Use one of: {', '.join(sorted(MODELS))}.")
            if fewest < MODELS[model].minimal_seeds:
                raise ValueError(
                    f"seeds: results of {model} depend on the seed: expected at least {MODELS[model].minimal_seeds} "
                    f"different ones, was {fewest}"
                )
        for name, values in self.params.items():
            if isinstance(values, dict) and name not in self.model:
                raise ValueError(f"params: the table {name} is for a model that this space does not have")
        if self.halving is not None:
            self.halving.check_fits(self.model, self.target, self.train_rows != ("all",), "epochs" in self._all_params)
        return self

    @property
    def _all_params(self) -> set[str]:
        return {name for model in self.model for name in self.params_of(model)}

    def params_of(self, model: str) -> dict[str, Values]:
        """The ranges of the parameters of one model: those of all, with its own over them."""
        own = self.params.get(model, {})
        shared = {name: values for name, values in self.params.items() if not isinstance(values, dict)}
        ranges = {**shared, **(own if isinstance(own, dict) else {})}
        return {name: _once(values) for name, values in ranges.items()}

    def applies_to(self, series: Series) -> bool:
        """Whether it has cases for this series."""
        return (not self.symbols or series.symbol in self.symbols) and (
            not self.timeframes or series.timeframe in self.timeframes
        )

    def may_use(self, column: str, group: str) -> bool:
        """Whether some case of this space has the column, which belongs to the group."""
        return self.columns.get(column, self.groups.get(group, "off")) != "off"


def read_search_spaces(path: Path) -> list[SearchSpace]:
    """The search spaces of a TOML file with one ``[[space]]`` table each.

    Raises:
        CaseError: the file cannot be read, or a space is not valid.
    """
    try:
        content = read_toml(path, "the search space", CaseError)
        return [SearchSpace(**space) for space in content["space"]]
    except (KeyError, TypeError):
        raise CaseError(f"{path} has no [[space]] table. Add one; ml/search_spaces/default.toml shows how.") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        raise CaseError(f"{path}: {where}{': ' if where else ''}{message}. Mend that key.") from error
