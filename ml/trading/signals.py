"""Signals: forecasts of test cases combined into a score per candle, and a rule that turns it into a position.

A score is in [-1, 1]: above 0 the price is expected to rise. Each source gives a rise and a fall in [0, 1]; the sources
of a signal are averaged, smoothed, and combined into one score. A rule compares it with thresholds, which are chosen on
validation rows (`ml.trading.choice`). Signals are configured in TOML, and a hash of all that they compute, the key,
names their version.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ml.canonical import digest
from ml.data.targets import CLOSE, HIGH, LOW, NEXT_CANDLE, TARGETS, Floats
from ml.errors import ConfigurationError
from ml.search.cases import unknown_problem
from ml.toml_files import read_toml
from ml.trading.sizing import Sizing
from ml.trading.thresholds import threshold_targets

BUILT_IN = Path(__file__).parent / "signals.toml"
BEST = "best"
#: Target of probabilities -> places of the columns whose mean probability is the rise, and of those of the fall.
PROBABILITIES: dict[str, tuple[int, int]] = {"highlow2": (0, 1), "topbot2": (1, 0), "trade": (2, 0)}
#: An exponentially weighted mean reads this many spans: older scores would have less than .04 % of the weight.
EWM_SPANS = 4
STEP = 0.05


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Table):
    """Forecasts of one test case per series."""

    target: str = Field(NEXT_CANDLE, description="Of the case: next_candle, highlow2, topbot2 or trade.")
    case: Annotated[str, Field(pattern="^(best|[0-9a-f]{4,16})$")] = Field(
        BEST, description="Key of a case or its beginning; best: the case of this target that ranks first."
    )
    quantity: Literal["close", "range"] = Field(
        "close", description="Of next_candle: the forecast move of the close, or the middle of high and low."
    )
    weight: float = Field(1.0, gt=0)

    @field_validator("target")
    @classmethod
    def _has_direction(cls, target: str) -> str:
        if problem := unknown_problem("target of a signal", target, (NEXT_CANDLE, *PROBABILITIES)):
            raise ValueError(problem)
        return target

    @property
    def learns_close(self) -> bool:
        """Whether its case has to learn the close."""
        return self.quantity == "close" and self.target == NEXT_CANDLE

    @property
    def horizon(self) -> int:
        return TARGETS[self.target].horizon


class Grid(_Table):
    """Thresholds to choose from: quantiles of the earliest scores, or values of the score.

    With quantiles a rule buys above a quantile q and sells below 1 - p, for every q and p of the list; pairs whose buy
    threshold is not above the sell threshold are left out.
    """

    quantiles: tuple[Annotated[float, Field(ge=0.5, lt=1)], ...] = ()
    buy: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = ()
    sell: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.quantiles) == bool(self.buy or self.sell) or bool(self.buy) != bool(self.sell):
            raise ValueError("Give quantiles, or buy and sell.")
        if self.buy and max(self.buy) <= min(self.sell):
            raise ValueError("No buy threshold is above a sell threshold. Give larger values of buy.")
        return self

    def pairs(self, scores: Floats) -> Floats:
        """(k, 2) buy and sell thresholds; scores (n,) are those that quantiles are taken of."""
        if self.quantiles:
            buys = np.quantile(scores, self.quantiles)
            sells = np.quantile(scores, [1 - one for one in self.quantiles])
        else:
            buys, sells = np.array(self.buy), np.array(self.sell)
        every = np.stack(np.meshgrid(buys, sells, indexing="ij"), axis=-1).reshape(-1, 2)
        pairs: Floats = np.unique(every[every[:, 0] > every[:, 1]], axis=0)
        return pairs


class Signal(_Table):
    """A signal with its rule.

    The rule one_score buys at a score of at least the buy threshold and sells at one of at most the sell threshold. The
    rule two_scores needs the score of the sources `second` too, at `second_buy` and `second_sell`.
    """

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$")]
    description: str = ""
    sources: tuple[Source, ...] = Field(min_length=1)
    second: tuple[Source, ...] = ()
    combine: Literal["difference", "relative", "largest"] = "difference"
    smooth: Literal["none", "mean", "ewm"] = "none"
    span: int = Field(1, ge=1, le=500, description="Candles of the mean, or the span of the exponential weights.")
    point_threshold: float = Field(0.0, ge=0, le=1, description="A mean rise or fall below this counts as 0.")
    coefficient: float = 1.0
    constant: float = 0.0
    rule: Literal["one_score", "two_scores"] = "one_score"
    second_buy: float = Field(0.0, ge=-1, le=1)
    second_sell: float = Field(0.0, ge=-1, le=1)
    grid: Grid = Grid(quantiles=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98))
    long_only: bool = False
    sizing: Sizing = Sizing()
    band_step: float = Field(STEP, gt=0, le=1, description="Steps of the score beyond a threshold, one sign each.")
    horizon: int = Field(0, ge=0, description="Candles after which a position is closed; 0: by the rule only.")
    stops: float = Field(
        0.0, ge=0, description="Stop and target at this multiple of the forecast low and high; 0: none."
    )
    symbols: tuple[str, ...] = Field((), description="Empty: all.")
    timeframes: tuple[str, ...] = Field((), description="Empty: all.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.rule == "two_scores") != bool(self.second):
            raise ValueError('`second` has the sources of the second score: give it with rule = "two_scores" only.')
        if self.stops and not any(one.target == NEXT_CANDLE for one in self.all_sources):
            raise ValueError("Stops need a forecast of high and low. Add a source with target = next_candle.")
        if self.smooth == "none" and self.span > 1:
            raise ValueError('A span needs smooth = "mean" or "ewm".')
        return self

    @property
    def all_sources(self) -> tuple[Source, ...]:
        return *self.sources, *self.second

    @property
    def key(self) -> str:
        """16 hexadecimal digits of all that the signal computes; name, description, steps and markets are no part."""
        content = self.model_dump(mode="json", exclude={"name", "description", "symbols", "timeframes", "band_step"})
        return digest(content)[:16]

    @property
    def memory(self) -> int:
        """Candles up to the present one whose forecasts a score is made of."""
        return {"none": 1, "mean": self.span, "ewm": EWM_SPANS * self.span}[self.smooth]

    def concerns(self, symbol: str, timeframe: str) -> bool:
        """Whether the signal is computed for this market and timeframe."""
        return (not self.symbols or symbol in self.symbols) and (not self.timeframes or timeframe in self.timeframes)

    def score(self, rise: Floats, fall: Floats) -> Floats:
        """Scores (n,) in [-1, 1] of rises and falls (n, sources), oldest first; NaN where one of a candle is NaN."""
        weights = np.array([one.weight for one in self.sources])
        return self._score(rise, fall, weights)

    def second_score(self, rise: Floats, fall: Floats) -> Floats:
        """The same of the sources `second`."""
        return self._score(rise, fall, np.array([one.weight for one in self.second]))

    def _score(self, rise: Floats, fall: Floats, weights: Floats) -> Floats:
        up, down = (self._smoothed(side @ weights / weights.sum()) for side in (rise, fall))
        return np.clip(self.coefficient * combined(up, down, self.combine) + self.constant, -1, 1)

    def _smoothed(self, values: Floats) -> Floats:
        shown = np.where(values < self.point_threshold, 0.0, values)  # NaN stays
        return shown if self.smooth == "none" else smoothed(shown, self.smooth, self.span)

    def sides(self, score: Floats, second: Floats | None, buy: Floats | float, sell: Floats | float) -> Floats:
        """Target sides (n,) of scores (n,): 1 long, -1 short (0 where long only), NaN where the rule says nothing."""
        targets = threshold_targets(score, buy, sell, long_only=self.long_only)
        if second is None:
            return targets
        agrees = np.where(targets == 1, second >= self.second_buy, second <= self.second_sell)
        return np.where(agrees, targets, np.nan)


def combined(rise: Floats, fall: Floats, how: str) -> Floats:
    """Scores of rises and falls in [0, 1]: their difference, the relative one, or the larger with its sign.

    >>> rise, fall = np.array([0.6]), np.array([0.2])
    >>> [round(float(combined(rise, fall, how)[0]), 9) for how in ("difference", "relative", "largest")]
    [0.4, 0.5, 0.6]
    """
    if how == "difference":
        return rise - fall
    if how == "relative":
        total = rise + fall
        return np.where(total > 0, 2 * np.divide(rise, total, out=np.zeros_like(rise), where=total > 0) - 1, total)
    return np.where(rise >= fall, rise, np.where(rise < fall, -fall, np.nan))


def smoothed(values: Floats, how: str, span: int) -> Floats:
    """Means (n,) of the latest values up to each, with equal or exponential weights; NaN where the present one is NaN.

    Missing earlier values are left out. The exponential weights end after `EWM_SPANS` spans, so that a mean depends on
    a fixed number of candles, live as in a backtest.
    """
    width = span if how == "mean" else EWM_SPANS * span
    weights = np.ones(width) if how == "mean" else (1 - 2 / (span + 1)) ** np.arange(width)
    known = np.isfinite(values)
    total, norm = np.zeros(len(values)), np.zeros(len(values))
    for age in range(min(width, len(values))):
        stop = len(values) - age
        total[age:] += weights[age] * np.where(known[:stop], values[:stop], 0.0)
        norm[age:] += weights[age] * known[:stop]
    return np.where(known, total / np.where(norm > 0, norm, 1.0), np.nan)


def rise_and_fall(source: Source, predicted: Floats, scale: Floats | None, unit: float) -> tuple[Floats, Floats]:
    """Rise and fall (n,) in [0, 1] of predictions.

    Args:
        source: of the predictions.
        predicted: (n, k) probabilities, or labels of a candle in log units.
        scale: (n,) EWMA range in log units, of a candle.
        unit: root mean square of a candle's moves in ranges, on earlier rows: a move of one unit has the score .76.
    """
    if source.target in PROBABILITIES:
        up, down = PROBABILITIES[source.target]
        return predicted[:, up], predicted[:, down]
    assert scale is not None, "a candle has a scale"
    strength = np.tanh(in_ranges(source, predicted, scale) / unit)
    return np.maximum(strength, 0.0), np.maximum(-strength, 0.0)


def in_ranges(source: Source, predicted: Floats, scale: Floats) -> Floats:
    """(n,) the quantity of a source in EWMA ranges."""
    moves = predicted[:, CLOSE] if source.quantity == "close" else (predicted[:, HIGH] + predicted[:, LOW]) / 2
    in_units: Floats = moves / scale
    return in_units


def band_of(score: float, buy: float, sell: float, step: float) -> int:
    """Signed number of steps that a score has reached: 1 at the buy threshold, 2 a step above; below 0 at the sell one.

    >>> [band_of(score, 0.2, -0.2, 0.05) for score in (0.19, 0.2, 0.24, 0.26, -0.2, -0.31)]
    [0, 1, 1, 2, -1, -3]
    """
    beyond = score - buy if score >= buy else sell - score
    if beyond < 0:
        return 0
    steps = 1 + int(beyond / step + 1e-9)
    return steps if score >= buy else -steps


class _File(_Table):
    signal: tuple[Signal, ...] = Field(min_length=1)


def read_signals(paths: Sequence[Path]) -> list[Signal]:
    """The signals of TOML files; without a path the built-in ones.

    Raises:
        ConfigurationError: a file is broken, or two signals have the same name.
    """
    found: list[Signal] = []
    for path in paths or (BUILT_IN,):
        content = read_toml(path, "the signals", ConfigurationError)
        try:
            found += _File.model_validate(content).signal
        except ValidationError as error:
            raise ConfigurationError(f"{path}: {_first_problem(error)}. Correct or remove that key.") from error
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"Two signals are called {name!r}. Give one of them another name.")
    return found


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{where}: {'unknown key' if problem['type'] == 'extra_forbidden' else message}"
