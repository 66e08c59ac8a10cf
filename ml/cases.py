"""Test cases: what is tried, as frozen descriptions with a stable key.

A test case says everything that its result depends on besides the candles: the series, the feature columns, the
lags, the model with its parameters, the seeds and the protocol. Its key is a hash of that description, so the same
case is recognised on every machine and however often a search space is enumerated.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ml.canonical import digest
from ml.config import Series
from ml.models import MODELS
from ml.targets import LABELS, NEXT_CANDLE, TARGETS

Scalar = bool | int | float | str


def _learnt_targets() -> str:
    return ", ".join(sorted(name for name, target in TARGETS.items() if target.kind == "candle"))


class TestCase(BaseModel):
    """One thing to try on one series. `feature_set` is a name for people and no part of the key."""

    __test__ = False  # keeps pytest from collecting the class
    model_config = ConfigDict(extra="forbid", frozen=True)

    series: Series
    features: tuple[str, ...] = Field(description="Feature columns, sorted.", min_length=1)
    feature_set: str = Field("", description="The groups, as people name them.")
    target: str = Field(NEXT_CANDLE, description="What is predicted: a name of `ml.targets.TARGETS`.")
    labels: tuple[str, ...] = LABELS
    lags: int = Field(1, ge=1, le=500, description="Rows in a window, the latest included.")
    model: str
    params: dict[str, Scalar] = Field(default_factory=dict)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    train_fraction: float = Field(0.6, gt=0, lt=1)
    validation_fraction: float = Field(0.2, gt=0, lt=1)

    @field_validator("labels")
    @classmethod
    def _labels_complete(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        missing = [name for name in LABELS if name not in labels]
        if missing or tuple(labels) != LABELS:
            what = f"{', '.join(missing)} missing" if missing else "the order differs"
            raise ValueError(f"Expected the labels high, low, close, was {', '.join(labels)}: {what}. Mend `labels`.")
        return labels

    @field_validator("target")
    @classmethod
    def _target_known(cls, target: str) -> str:
        if target not in TARGETS:
            raise ValueError(f"Unknown target {target!r}. Use one of: {_learnt_targets()}.")
        kind = TARGETS[target].kind
        if kind != "candle":
            raise ValueError(f"No model of this registry learns {kind} targets. Use one of: {_learnt_targets()}.")
        return target

    @field_validator("model")
    @classmethod
    def _model_known(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"Unknown model {model!r}. Use one of: {', '.join(sorted(MODELS))}.")
        return model

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the description."""
        return digest(self.model_dump(mode="json", exclude={"feature_set"}))[:16]
