"""Records: names and types of the rows and documents that are stored, one class per kind.

They are typed dictionaries, since all of them are read from Parquet or JSON, or written there. Keys that an older
version did not write may be absent, and values may be null where a comment says so. `tests/ml/test_records.py`
compares the classes with the Arrow schema, the warehouse's tables, dbt's contracts and the columns of the dashboard.

Units: `*_pct` is percent of the last close, `*_ms` milliseconds since 1970-01-01 UTC, `skill*` a share (1 - error /
error of the baseline), `*_seconds` seconds. Times without unit are UTC: `datetime` in Parquet, ISO 8601 text in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NotRequired, TypedDict, TypeVar

#: Any of the records: for functions that copy one and return one of the same kind.
AnyRecord = TypeVar("AnyRecord", bound=Mapping[str, object])


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
    #: Mean width of the 80 % interval and penalties; the same two figures of the 50 and 95 % intervals.
    winkler_pct: float
    band_coverage_50: float
    winkler_50_pct: float
    band_coverage_95: float
    winkler_95_pct: float
    #: Share of moves whose sign was right, and its standard error.
    direction_accuracy: float
    direction_se: float
    #: Mean gain per candle of trading every predicted direction, after costs.
    direction_net_pct: float
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


class LabelMetrics(Metrics, total=False):
    """Figures of one label, step, event or class of a target; NaN where undefined."""

    label: str
    #: Occurrences, and decisions for it.
    n: int
    n_predicted: int
    precision: float
    recall: float


class WindowMetrics(Metrics, total=False):
    """Figures of one fit of a walk-forward on its `n` rows; open times of first and last rows in milliseconds."""

    start: int
    end: int
    train_start: int
    train_end: int
    n_train: int
    n: int


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
    #: Whose key signed its file: a lent machine, "" for the home itself; null if unsigned. Added when it is read.
    signer: str | None


class ChunkLine(TypedDict):
    """Progress of one case, reported by the process that ran it."""

    case_key: str
    status: str
    seconds: float
    worker: str


class SealedRecord(TypedDict):
    """A record of a hash chain; the chain says of which kind `body` is.

    `hash` covers all other fields but `signature`, which is that of the hash. Records of earlier versions have the
    first four only.
    """

    sequence: int
    previous: str
    hash: str
    body: Any
    chain: NotRequired[str]
    #: The public key of the home that sealed it, and its signature, base64.
    key: NotRequired[str]
    signature: NotRequired[str]
    #: Of the machine that sealed it, ISO 8601 UTC; the times in the body are those of the exchange.
    wall_time: NotRequired[str]
    #: Whether the exchange was a recorded one.
    replayed: NotRequired[bool]


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
    #: Of the promotion gate, as in its section of the settings file.
    settings: dict[str, int | float | dict[str, str]]
    n_trials: int
    spa_p_value: float | None
    #: The evaluated model, and its refit that serves; null in a refusal.
    frozen_model_id: str
    model_id: str
    #: SHA-256 of their model cards, which have those of their files; missing in records of earlier versions.
    frozen_card_sha256: str | None
    model_card_sha256: str | None
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
    """The next candle in quote units; `open` is the last known close, `scale` in log units that of its interval.

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
    #: Its name; `all_markets` of a young market.
    baseline: str
    #: Level -> [low, high] of the prediction interval; name of a baseline -> its [high, low, close].
    bands: dict[str, list[float]]
    rivals: dict[str, list[float]]


class InputContribution(TypedDict):
    """Contributions of one input column, summed over its window, to the labels [high, low, close] in log units."""

    column: str
    #: Of the last candle, in the column's own unit.
    value: float
    labels: list[float]


class Contributions(TypedDict):
    """A forecast as a sum; each part is [high, low, close] as the logarithm of the price over `open`.

    The forecast is the sum of `inputs` (the largest ones), `others` (all other columns), `base` and `coherence`, the
    change that makes them a valid candle.
    """

    inputs: list[InputContribution]
    others: list[float]
    base: list[float]
    coherence: list[float]


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
    reason: str
    #: Distance of the champion's inputs from those it learnt from over its limit; null where it is not measured.
    novelty: float | None
    #: Null where the baseline serves, or a family without contributions.
    contributions: Contributions | None


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


#: The body of a sealed record: each kind has the keys of its series.
Body = SeriesKey


class WeightRow(SeriesKey):
    """The weight of a contender after a live round: a row of raw.weights."""

    round_time: datetime
    contender: str
    round_score: float
    volatility_weight: float
    weight: float
    score_hash: str


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
    #: Other market -> the dataset of the same timeframe that was exported with this one.
    panel: dict[str, str]
    rows: int
    first_open_time_ms: int
    last_open_time_ms: int
    gaps: int
    code_version: str


class LeaderboardRow(SeriesKey, total=False):
    """A ranked case of the newest dataset; the columns of the snapshot's leaderboard that programs read by name."""

    case_key: str
    model: str
    rank: int
    skill: float
    n_validation: int
    n_trials: int
    #: Null until the significance of the search has been measured, or with fewer than 30 days.
    skill_lower: float | None
    skill_upper: float | None
    spa_p_value: float | None
    is_finalist: bool | None
    in_confidence_set: bool | None


class ReferenceResult(SeriesKey, total=False):
    """``reference/<series>_<epochs>.json``: the reference procedure on its own test rows."""

    dataset_id: str
    model: str
    epochs: int
    fit_seconds: float
    n_test: int
    rmse_pct: float
    rmse_quote: float
    baseline: str
    baseline_rmse_pct: float
    skill: float
    skill_mean_range: float
    skill_last_candle: float


class CaseCounts(TypedDict, total=False):
    """Test cases of a sweep by state; pruned ones are tested ones that successive halving did not continue."""

    cases_total: int
    cases_done: int
    cases_never_tested: int
    cases_in_work: int
    cases_tested: int
    cases_failed: int
    cases_pruned: int


class SeriesProgress(SeriesKey, CaseCounts, total=False):
    """Progress of a sweep on one series; `is_exact`: all of its cases have been counted."""

    is_exact: bool


class WorkerProgress(TypedDict):
    """Cases that a worker has finished, and their share of all finished ones."""

    worker: str
    cases: int
    share: float


class SweepProgress(CaseCounts, total=False):
    """``published/progress.json``: the progress of the newest sweep."""

    sweep_id: str
    #: running, done or stopped.
    status: str
    started_at: str
    updated_at: str
    warnings: list[str]
    #: Null before the first case has ended.
    cases_per_minute: float | None
    mean_seconds: float | None
    eta_seconds: float | None
    workers: list[WorkerProgress]
    series: list[SeriesProgress]


class SnapshotPointer(TypedDict, total=False):
    """``published/current.json``; `layout`, `kept` (versions, newest first) and `files` are added on writing."""

    version: str
    published_at: str
    exchange_time: str | None
    layout: int
    kept: list[str]
    #: Table -> SHA-256 of its file; missing in those of earlier versions.
    files: dict[str, str]


class ChainHead(TypedDict):
    """The last record of a chain, as it is sent to the webhook."""

    chain: str
    sequence: int
    hash: str


class WalkForwardContent(TypedDict):
    """Of a case that is fitted again every `refit_every` rows."""

    refit_every: int
    rolling: bool


class CaseContent(TypedDict, total=False):
    """The description of a test case (`ml.search.cases.TestCase`), whose hash without `feature_set` is its key."""

    series: SeriesKey
    features: list[str]
    feature_set: str
    target: str
    labels: list[str]
    lags: int
    model: str
    params: dict[str, int | float | str | bool]
    seeds: list[int]
    train_fraction: float
    validation_fraction: float
    #: Absent where it is all of them, the refits are the default, the rows have equal weights, or the version is 1.
    train_rows: int
    walk_forward: WalkForwardContent
    weights: str
    unit: str
    pool: str
    evaluation: int
    close: str
    #: Of an ensemble.
    members: list[CaseContent]


class ModelCard(TypedDict, total=False):
    """``card.json`` of a saved model."""

    model_id: str
    case_key: str
    case: CaseContent
    #: "frozen: ..." (as evaluated) or "served: ..." (refitted).
    kind: str
    series: SeriesKey
    dataset_id: str
    seeds: list[int]
    #: Figures of the result that was promoted, and of the paired test.
    selection: ResultRow
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
    #: File of the model -> its SHA-256; missing in cards of earlier versions.
    files: dict[str, str]
    trained_from_ms: int
    trained_through_ms: int
    review_skill: float
    review_rows: int
