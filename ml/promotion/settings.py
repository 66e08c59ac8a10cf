"""The settings of the promotion gate and of reviews."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml.timeframes import UtcDatetime


class PromotionSettings(BaseModel):
    """When a challenger becomes champion, and when a champion is retired."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimal_skill: float = Field(0.002, ge=0, lt=1, description="Skill on validation that a challenger needs.")
    minimal_gain: float = Field(0.002, ge=0, lt=1, description="Relative gain in error over the incumbent.")
    alpha: float = Field(0.01, gt=0, lt=0.5, description="Level of the one-sided paired tests.")
    search_alpha: float = Field(
        0.05, gt=0, le=1, description="No challenger is promoted if the SPA p-value of the whole search is above this."
    )
    minimal_days: int = Field(30, ge=10, description="Days of paired losses below which nothing is decided.")
    minimal_rows: int = Field(100, ge=30, description="Validation rows below which nothing is decided.")
    minimal_tenure_days: float = Field(
        7.0, ge=0, description="Days after its promotion in which an incumbent is not replaced, by exchange time."
    )
    minimal_holdout_rows: int = Field(
        100, ge=30, description="Unopened holdout rows of the series that an opening needs."
    )
    review_days: float = Field(180.0, gt=0, description="Length of the walk-forward evaluation of a review.")
    review_refit_days: float = Field(30.0, gt=0, description="Days between two refits in a review.")
    minimal_review_skill: float = Field(
        0.0, ge=-1, lt=1, description="A champion whose skill in the review is not above this is retired."
    )
    minimal_live_forecasts: int = Field(
        100, ge=30, description="Scored forecasts needed for the live record alone to retire a champion."
    )
    trusted_again: dict[str, UtcDatetime] = Field(
        {}, description="Machine -> time (UTC without an offset): failed verifications before it are disregarded."
    )
