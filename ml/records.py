"""Records: names and types of the rows and documents that are stored, one class per kind.

They are typed dictionaries, since all of them are read from Parquet or JSON, or written there. Keys that an older
version did not write may be absent, and values may be null where a comment says so. `tests/ml/test_records.py`
compares the classes with the Arrow schema, the warehouse's tables, dbt's contracts and the columns of the dashboard.

Units: `*_pct` is percent of the last close, `*_ms` milliseconds since 1970-01-01 UTC, `skill*` a share (1 - error /
error of the baseline), `*_seconds` seconds. Times without unit are UTC: `datetime` in Parquet, ISO 8601 text in JSON.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, TypedDict

#: A row whose columns are known at run time only: of a printed table, of any table of the snapshot, of a user's SQL.
Row = dict[str, Any]


class SeriesKey(TypedDict, total=False):
    """The key of a series (`ml.series.Series`)."""

    exchange: str
    symbol: str
    timeframe: str


class Metrics(TypedDict, total=False):
    """Figures of a test case on its validation rows; a kind of target has some of them, the others are null."""

    rmse_pct: float
    #: In units of the quote currency.
    rmse_quote: float
    mae_pct: float
    rmse_high_pct: float
    rmse_low_pct: float
    rmse_close_pct: float
    rmse_weighted_pct: float
    pinball_pct: float
    #: Share of candles inside the 80 % prediction interval.
    band_coverage: float
    #: Share of moves whose sign was right, and its standard error.
    direction_accuracy: float
    direction_se: float
    baseline_rmse_pct: float
    skill: float
    skill_mean_range: float
    skill_last_candle: float
    skill_drift: float
    skill_ewma_range: float
    skill_pooled_range: float
    skill_har_range: float
    skill_high: float
    skill_low: float
    skill_close: float
    skill_seed_std: float
    #: In nats.
    log_loss: float
    baseline_log_loss: float
    auc: float
    average_precision: float
    f1: float
    percent_correct: float
    baseline_percent_correct: float
    skill_correct: float


class ResultIdentity(SeriesKey, total=False):
    """The case and the run of a result."""

    case_key: str
    dataset_id: str
    model: str
    model_family: str
    feature_set: str
    n_features: int
    lags: int
    case_json: str
    #: tested or failed; `error` is null for a tested one.
    status: str
    error: str
    #: host:pid:start of the process.
    worker: str
    started_at: datetime
    finished_at: datetime
    fit_seconds: float
    #: In 1e6 bytes.
    peak_memory_mb: float
    code_version: str


class ResultEvaluation(Metrics, total=False):
    """The evaluation of a tested case; all null for a failed one."""

    baseline: str
    n_train: int
    n_validation: int
    train_start: datetime
    train_end: datetime
    validation_start: datetime
    validation_end: datetime
    #: JSON: one object of metrics per seed.
    seed_metrics: str
    #: Days with validation rows, and the mean squared errors of model and baseline on them.
    loss_day: list[date]
    loss_model: list[float]
    loss_baseline: list[float]
    #: JSON tables: one row per label, step, event or class; one row per fit of a walk-forward.
    label_metrics: str
    window_metrics: str


class ResultRow(ResultIdentity, ResultEvaluation, total=False):
    """One test case on one dataset: a row of a result file and of raw.results."""

    #: Fingerprints of the case's columns, as 12 hexadecimal digits; null where unknown.
    lineage: str | None


class ChunkLine(TypedDict):
    """Progress of one case, reported by the process that ran it."""

    case_key: str
    status: str
    seconds: float
    worker: str


class SealedRecord(TypedDict):
    """A record of a hash chain; `body` is a VerdictRecord, ForecastRecord or ScoreRecord."""

    sequence: int
    previous: str
    hash: str
    body: Any


class VerdictRecord(SeriesKey, total=False):
    """A decision about a challenger (promoted, refused) or a champion (confirmed, retired)."""

    dataset_id: str
    case_key: str
    model: str
    baseline: str
    skill: float
    skill_mean_range: float
    rmse_pct: float
    incumbent_case_key: str | None
    decision: str
    rule: str
    reason: str
    decided_at: str
    p_value: float | None
    t_statistic: float | None
    n_days: int | None
    alpha: float
    minimal_gain: float
    settings: dict[str, Any]
    n_trials: int
    spa_p_value: float | None
    #: The evaluated model, and its refit that serves; null in a refusal.
    frozen_model_id: str
    model_id: str
    #: All models that served for the champion; added when verdicts are read.
    model_ids: list[str]
    trained_through: str | None
    gain: float | None
    holdout_opened: bool
    #: Open times of the first and last opened candle; null if none was opened.
    holdout_start: str
    holdout_end: str
    holdout_rows: int | None
    holdout_rmse_pct: float | None
    holdout_skill: float | None
    holdout_skill_mean_range: float | None
    holdout_band_coverage: float | None
    holdout_openings: int
    #: The worker whose reported metrics failed verification; null if none did.
    false_claim_worker: str
    review_skill: float
    review_rows: int
    review_start: str
    review_end: str
    live_forecasts: int


class CandleForecast(TypedDict):
    """The next candle in quote units; `open` is the last known close, `scale` the EWMA range in log units.

    `band_low` and `band_high` are the joint prediction interval, which covers low and high together with probability
    `band_level`. `baseline_*` is the forecast of the baseline.
    """

    open: float
    high: float
    low: float
    close: float
    band_low: float
    band_high: float
    band_level: float
    baseline_high: float
    baseline_low: float
    baseline_close: float
    scale: float
    #: Level -> [low, high] of the prediction interval; name of a baseline -> its [high, low, close].
    bands: dict[str, list[float]]
    rivals: dict[str, list[float]]


class ForecastRecord(SeriesKey, CandleForecast, total=False):
    """A forecast of the candle that opens at `target_open_time`."""

    target_open_time: str
    target_close_time: str
    #: Close of the newest candle that the forecast is made from.
    information_time: str
    deadline: str
    issued_at: str
    late: bool
    #: "baseline" where no champion served, with the reason; then `model_id`, `case_key` and `lineage` are null.
    model: str
    model_id: str | None
    case_key: str | None
    lineage: str | None
    baseline: str
    reason: str


class ScoreRecord(SeriesKey, total=False):
    """The errors of a sealed forecast after its candle has closed."""

    forecast_hash: str
    target_open_time: str
    scored_at: str
    late: bool
    #: 0 for the first score; a candle that was revised is scored again.
    revision: int
    candle_load_id: int
    actual_open: float
    actual_high: float
    actual_low: float
    actual_close: float
    error_pct: float
    baseline_error_pct: float
    skill: float
    high_error_pct: float
    low_error_pct: float
    close_error_pct: float
    pinball_pct: float
    covered: bool
    #: Null where forecast or candle did not move.
    direction_hit: bool | None
    #: Nonconformity score in units of the scale; null without a scale.
    conformity: float | None
    rival_errors: dict[str, float]


class SignificanceRow(TypedDict, total=False):
    """One ranked case of a dataset: a row of raw.significance; figures are null for fewer than 30 days."""

    case_key: str
    skill_lower: float | None
    skill_upper: float | None
    spa_p_value: float | None
    is_finalist: bool
    in_confidence_set: bool | None


class Manifest(TypedDict, total=False):
    """``manifest.json`` of a dataset."""

    schema_version: int
    id: str
    series: SeriesKey
    timeframe_ms: int
    columns: list[str]
    groups: list[str]
    #: Target -> its labels; target -> the farthest look-ahead of its labels in candles.
    targets: dict[str, list[str]]
    horizons: dict[str, int]
    #: Column -> fingerprint of its computation.
    fingerprints: dict[str, str]
    rows: int
    first_open_time_ms: int
    last_open_time_ms: int
    gaps: int
    code_version: str


class ModelCard(TypedDict, total=False):
    """``card.json`` of a saved model."""

    model_id: str
    case_key: str
    case: dict[str, Any]
    #: "frozen: ..." (as evaluated) or "served: ..." (refitted).
    kind: str
    series: SeriesKey
    dataset_id: str
    seeds: list[int]
    #: Figures of the result that was promoted, and of the paired test.
    selection: dict[str, Any]
    test: dict[str, float | None]
    n_trials: int
    holdout: dict[str, float]
    holdout_start_ms: int | None
    holdout_end_ms: int | None
    holdout_rows: int | None
    promoted_at_ms: int
    intended_use: str
    limits: list[str]
    lineage: dict[str, str]
    trained_from_ms: int
    trained_through_ms: int
    review_skill: float
    review_rows: int
