"""The schema of the raw tables: ordered steps, from an empty file to the present version."""

from __future__ import annotations

from dataclasses import dataclass

_SERIES = "exchange VARCHAR, symbol VARCHAR, timeframe VARCHAR"
_PRICES = "open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE"

_FIRST_TABLES = f"""
CREATE TABLE raw.markets (exchange VARCHAR, symbol VARCHAR, base_timeframe VARCHAR, timeframe VARCHAR,
    timeframe_ms BIGINT, base_ms BIGINT);
CREATE TABLE raw.candles ({_SERIES}, open_time TIMESTAMP, {_PRICES}, load_id BIGINT, loaded_at TIMESTAMP);
CREATE TABLE raw.loads (load_id BIGINT, {_SERIES}, started_at TIMESTAMP, since TIMESTAMP, rows_received BIGINT,
    rows_inserted BIGINT, rows_revised BIGINT, rows_quarantined BIGINT, status VARCHAR, message VARCHAR);
CREATE TABLE raw.quarantine ({_SERIES}, open_time TIMESTAMP, {_PRICES}, load_id BIGINT, loaded_at TIMESTAMP,
    rule VARCHAR, detail VARCHAR);
CREATE TABLE raw.quality_checks (load_id BIGINT, {_SERIES}, checked_at TIMESTAMP, rule VARCHAR, severity VARCHAR,
    success BOOLEAN, rows_checked BIGINT, rows_failed BIGINT, detail VARCHAR);
CREATE TABLE raw.results (case_key VARCHAR, dataset_id VARCHAR, {_SERIES}, model VARCHAR, model_family VARCHAR,
    feature_set VARCHAR, n_features BIGINT, lags BIGINT, case_json VARCHAR, status VARCHAR, error VARCHAR,
    worker VARCHAR, started_at TIMESTAMP, finished_at TIMESTAMP, fit_seconds DOUBLE, peak_memory_mb DOUBLE,
    code_version VARCHAR, rmse_pct DOUBLE, rmse_quote DOUBLE, mae_pct DOUBLE, rmse_high_pct DOUBLE,
    rmse_low_pct DOUBLE, rmse_close_pct DOUBLE, rmse_weighted_pct DOUBLE, pinball_pct DOUBLE, band_coverage DOUBLE,
    direction_accuracy DOUBLE, direction_se DOUBLE, baseline VARCHAR, baseline_rmse_pct DOUBLE, skill DOUBLE,
    skill_mean_range DOUBLE, skill_last_candle DOUBLE, skill_high DOUBLE, skill_low DOUBLE, skill_close DOUBLE,
    skill_seed_std DOUBLE, n_train BIGINT, n_validation BIGINT, train_start TIMESTAMP, train_end TIMESTAMP,
    validation_start TIMESTAMP, validation_end TIMESTAMP, seed_metrics VARCHAR, loss_day DATE[],
    loss_model DOUBLE[], loss_baseline DOUBLE[], result_file VARCHAR);
CREATE TABLE raw.verdicts (sequence BIGINT, hash VARCHAR, {_SERIES}, dataset_id VARCHAR, case_key VARCHAR,
    model VARCHAR, incumbent_case_key VARCHAR, decision VARCHAR, reason VARCHAR, decided_at TIMESTAMP, skill DOUBLE,
    skill_mean_range DOUBLE, rmse_pct DOUBLE, baseline VARCHAR, p_value DOUBLE, gain DOUBLE, holdout_opened BOOLEAN,
    holdout_openings BIGINT, holdout_rmse_pct DOUBLE, holdout_skill DOUBLE, holdout_skill_mean_range DOUBLE,
    holdout_band_coverage DOUBLE, n_trials BIGINT, frozen_model_id VARCHAR, model_id VARCHAR);
CREATE TABLE raw.forecasts (sequence BIGINT, hash VARCHAR, {_SERIES}, target_open_time TIMESTAMP,
    target_close_time TIMESTAMP, information_time TIMESTAMP, issued_at TIMESTAMP, late BOOLEAN, open DOUBLE,
    high DOUBLE, low DOUBLE, close DOUBLE, band_low DOUBLE, band_high DOUBLE, band_level DOUBLE,
    baseline_high DOUBLE, baseline_low DOUBLE, baseline_close DOUBLE, model VARCHAR, model_id VARCHAR,
    case_key VARCHAR, baseline VARCHAR, reason VARCHAR, scale DOUBLE);
CREATE TABLE raw.scores (sequence BIGINT, hash VARCHAR, forecast_hash VARCHAR, {_SERIES},
    target_open_time TIMESTAMP, scored_at TIMESTAMP, candle_load_id BIGINT, actual_open DOUBLE, actual_high DOUBLE,
    actual_low DOUBLE, actual_close DOUBLE, error_pct DOUBLE, baseline_error_pct DOUBLE, skill DOUBLE,
    high_error_pct DOUBLE, low_error_pct DOUBLE, close_error_pct DOUBLE, pinball_pct DOUBLE, covered BOOLEAN,
    direction_hit BOOLEAN, conformity DOUBLE);
"""

# A number for every series that was ever configured: features are keyed by it, one integer identifies a candle.
_SERIES_NUMBERS = f"CREATE TABLE raw.series (series_id BIGINT, {_SERIES})"

# The sources of a combined market (none for a market of one exchange), and exogenous values; a value with the symbol ''
# is for all markets.
_SOURCES_AND_OUTSIDE = """
CREATE TABLE raw.sources (exchange VARCHAR, symbol VARCHAR, source_exchange VARCHAR, source_symbol VARCHAR,
    since_load_id BIGINT, minimal_sources BIGINT);
CREATE TABLE raw.outside (name VARCHAR, symbol VARCHAR, available_at TIMESTAMP, value DOUBLE, load_id BIGINT,
    loaded_at TIMESTAMP);
"""

# Metrics of targets that are probabilities, and the tables of a result as JSON.
_KINDS_OF_RESULTS = "".join(
    f"ALTER TABLE raw.results ADD COLUMN {column};"
    for column in (
        "log_loss DOUBLE",
        "baseline_log_loss DOUBLE",
        "auc DOUBLE",
        "average_precision DOUBLE",
        "f1 DOUBLE",
        "percent_correct DOUBLE",
        "baseline_percent_correct DOUBLE",
        "skill_correct DOUBLE",
        "label_metrics VARCHAR",
        "window_metrics VARCHAR",
    )
)

# Columns of verdicts, forecasts and scores for the promotion gate, reviews and rounds, and significance of the search.
_PROMOTION = "".join(
    f"ALTER TABLE raw.{table} ADD COLUMN {column};"
    for table, columns in {
        "verdicts": (
            "rule VARCHAR",
            "n_days BIGINT",
            "t_statistic DOUBLE",
            "alpha DOUBLE",
            "minimal_gain DOUBLE",
            "spa_p_value DOUBLE",
            "holdout_start TIMESTAMP",
            "holdout_end TIMESTAMP",
            "holdout_rows BIGINT",
            "trained_through TIMESTAMP",
            "false_claim_worker VARCHAR",
            "review_skill DOUBLE",
            "review_rows BIGINT",
        ),
        "forecasts": ("bands VARCHAR", "rivals VARCHAR"),
        "scores": ("revision BIGINT", "rival_errors VARCHAR", "late BOOLEAN"),
    }.items()
    for column in columns
)
_SIGNIFICANCE = f"""
CREATE TABLE raw.significance ({_SERIES}, dataset_id VARCHAR, case_key VARCHAR, skill_lower DOUBLE, skill_upper DOUBLE,
    spa_p_value DOUBLE, is_finalist BOOLEAN, in_confidence_set BOOLEAN);
"""
# Weights of the contenders after each round; a round that is computed again replaces itself and all later ones.
_WEIGHTS = f"""
CREATE TABLE raw.weights ({_SERIES}, round_time TIMESTAMP, contender VARCHAR, round_score DOUBLE,
    volatility_weight DOUBLE, weight DOUBLE, score_hash VARCHAR);
"""
# The origin of a market's candles: candles of another origin must not continue its series.
_ORIGINS = "CREATE TABLE raw.origins (exchange VARCHAR, symbol VARCHAR, exchange_id VARCHAR, market_type VARCHAR);"
# Machines that the settings trust again.
_TRUST = "CREATE TABLE raw.trusted_again (machine VARCHAR, since TIMESTAMP);"

# Loads of one run over a series share a run_id (null in rows of older versions: each load was a run of its own). Known
# gaps are stored, so that they are requested again at increasing intervals.
_RUNS_AND_GAPS = f"""
ALTER TABLE raw.loads ADD COLUMN run_id BIGINT;
ALTER TABLE raw.quality_checks ADD COLUMN run_id BIGINT;
CREATE TABLE raw.gaps ({_SERIES}, first_open_time TIMESTAMP, last_open_time TIMESTAMP, requests BIGINT,
    last_requested_at TIMESTAMP);
"""

# One key per fit: a case with omitted parameters, or with seeds that its model does not use, had another key.
_KEYS_OF_TODAY = """
CREATE TEMP TABLE renamed AS
    SELECT former.case_key, former.now.case_key AS key_now, former.case_json, former.now.case_json AS json_now
    FROM (
        SELECT case_key, case_json, case_of_today(case_key, case_json) AS now
        FROM (SELECT DISTINCT case_key, case_json FROM raw.results WHERE case_key IS NOT NULL AND case_json IS NOT NULL)
    ) AS former
    WHERE former.case_key <> former.now.case_key;
UPDATE raw.results SET case_key = key_now, case_json = json_now FROM renamed
    WHERE results.case_key = renamed.case_key AND results.case_json = renamed.case_json;
UPDATE raw.significance SET case_key = key_now FROM renamed WHERE significance.case_key = renamed.case_key;
DELETE FROM raw.significance
    WHERE rowid NOT IN (SELECT min(rowid) FROM raw.significance GROUP BY dataset_id, case_key);
UPDATE raw.verdicts SET case_key = key_now FROM renamed WHERE verdicts.case_key = renamed.case_key;
UPDATE raw.verdicts SET incumbent_case_key = key_now FROM renamed
    WHERE verdicts.incumbent_case_key = renamed.case_key;
UPDATE raw.forecasts SET case_key = key_now FROM renamed WHERE forecasts.case_key = renamed.case_key;
DROP TABLE renamed;
"""

# A candle that the exchange revises is scored again: of several scores of a forecast, the last one sealed counts.
_LATEST_SCORES = f"""
CREATE VIEW raw.latest_scores AS
    SELECT forecast_hash, {_SERIES.replace(" VARCHAR", "")}, target_open_time, sequence, hash, scored_at, actual_open,
        actual_high, actual_low, actual_close, error_pct, baseline_error_pct, covered, direction_hit, s.conformity,
        rival_errors, count(*) OVER (PARTITION BY forecast_hash) AS n_scores
    FROM raw.scores AS s
    QUALIFY row_number() OVER (PARTITION BY forecast_hash ORDER BY sequence DESC) = 1;
"""

# The machine of a result is a column, and machines whose results are not trusted are a table; dbt computed both.
_MACHINES = """
ALTER TABLE raw.results ADD COLUMN machine VARCHAR;
UPDATE raw.results SET machine = machine_of(worker);
CREATE TABLE raw.marked_machines (machine VARCHAR);
DROP TABLE raw.trusted_again;
"""

# Which results are ranked, and as which contender: cases that differ only in their seeds are one.
_RANKING = """
ALTER TABLE raw.results ADD COLUMN is_ranked BOOLEAN;
ALTER TABLE raw.results ADD COLUMN contender_key VARCHAR;
UPDATE raw.results
    SET is_ranked = is_ranked_result(status, case_json), contender_key = contender_key_of(case_json);
"""

# Every champion from its promotion (its sequence) to its end, with all models that served for it.
_REIGNS = f"""
CREATE TABLE raw.reigns (sequence BIGINT, {_SERIES}, promoted_at TIMESTAMP, ended_at TIMESTAMP, ended_by VARCHAR,
    end_reason VARCHAR, model_id VARCHAR, model_ids VARCHAR[], trained_through TIMESTAMP, reviewed_at TIMESTAMP,
    review_skill DOUBLE, is_current BOOLEAN);
"""

# How far the inputs of a forecast are from those learnt from, and how much the largest add to it, as JSON.
_EXPLANATIONS = """
ALTER TABLE raw.forecasts ADD COLUMN novelty DOUBLE;
ALTER TABLE raw.forecasts ADD COLUMN contributions VARCHAR;
"""

# Trading: the chains of rules, signals and transactions, each fill of a transaction as a row, and the tables that are
# computed from them: figures, equity and trades of every part that a rule was traded on.
_SIGNAL = f"{_SERIES}, signal VARCHAR"
_FIGURES = """start_time TIMESTAMP, end_time TIMESTAMP, candles BIGINT, return_pct DOUBLE, holding_pct DOUBLE,
    over_holding_pct DOUBLE, lower_pct DOUBLE, upper_pct DOUBLE, trades BIGINT, win_rate DOUBLE, profit_factor DOUBLE,
    max_drawdown_pct DOUBLE, sharpe DOUBLE, sortino DOUBLE, cagr_pct DOUBLE, calmar DOUBLE, exposure DOUBLE,
    turnover DOUBLE, fees_share DOUBLE, break_even_fee_pct DOUBLE"""
_TRADING = f"""
CREATE TABLE raw.rules (sequence BIGINT, hash VARCHAR, {_SIGNAL}, signal_key VARCHAR, description VARCHAR,
    dataset_id VARCHAR, case_keys VARCHAR, model VARCHAR, model_ids VARCHAR, units VARCHAR, buy DOUBLE, sell DOUBLE,
    band_step DOUBLE, long_only BOOLEAN, sizing VARCHAR, fee DOUBLE, slippage DOUBLE, trials BIGINT, openings BIGINT,
    level DOUBLE, p_value DOUBLE, deflated_sharpe DOUBLE, is_shown BOOLEAN, reason VARCHAR, decided_at TIMESTAMP,
    validation VARCHAR, holdout VARCHAR);
CREATE TABLE raw.signals (sequence BIGINT, hash VARCHAR, {_SIGNAL}, signal_key VARCHAR, rule_hash VARCHAR,
    open_time TIMESTAMP, close_time TIMESTAMP, price DOUBLE, score DOUBLE, second DOUBLE, buy DOUBLE, sell DOUBLE,
    side DOUBLE, quantity DOUBLE, fraction DOUBLE, stop DOUBLE, take_profit DOUBLE, band BIGINT, signs VARCHAR,
    reason VARCHAR, issued_at TIMESTAMP);
CREATE TABLE raw.transactions (sequence BIGINT, hash VARCHAR, {_SIGNAL}, signal_key VARCHAR, signal_hash VARCHAR,
    open_time TIMESTAMP, fills VARCHAR, balance DOUBLE, account VARCHAR, sealed_at TIMESTAMP);
CREATE VIEW raw.fills AS
    SELECT hash || '-' || place AS hash, {_SIGNAL.replace(" VARCHAR", "")}, signal_key, signal_hash, sequence, place,
        open_time AS time, fill->>'side' AS side, (fill->>'quantity')::DOUBLE AS quantity,
        (fill->>'price')::DOUBLE AS price, (fill->>'fee')::DOUBLE AS fee, fill->>'reason' AS reason,
        (fill->>'balance')::DOUBLE AS balance
    FROM (
        SELECT *, unnest(from_json(fills, '["JSON"]')) AS fill, generate_subscripts(from_json(fills, '["JSON"]'), 1)
            AS place
        FROM raw.transactions
    );
CREATE TABLE raw.active_signals ({_SIGNAL}, signal_key VARCHAR);
CREATE TABLE raw.trading_figures ({_SIGNAL}, part VARCHAR, {_FIGURES});
CREATE TABLE raw.trading_equity ({_SIGNAL}, part VARCHAR, time TIMESTAMP, gross DOUBLE, equity DOUBLE, holding DOUBLE,
    score DOUBLE, side BIGINT);
CREATE TABLE raw.trading_trades ({_SIGNAL}, part VARCHAR, number BIGINT, side VARCHAR, entry_time TIMESTAMP,
    exit_time TIMESTAMP, entry_price DOUBLE, exit_price DOUBLE, quantity DOUBLE, fees DOUBLE, slippage DOUBLE,
    pnl DOUBLE, return_pct DOUBLE, balance DOUBLE, exit_turnover DOUBLE, entry_reason VARCHAR, exit_reason VARCHAR,
    entry_score DOUBLE);
"""

_VERIFICATIONS = """
CREATE TABLE raw.verifications (verified_at TIMESTAMP, chain VARCHAR, records BIGINT, head VARCHAR, problem VARCHAR,
    unsigned BIGINT, earlier_key BIGINT, replayed BIGINT, anchored BIGINT, anchored_at TIMESTAMP, anchored_by VARCHAR);
"""


@dataclass(frozen=True)
class Migration:
    """One step of the raw schema: `statements` lead from version - 1 to `version`."""

    version: int
    note: str
    statements: str


# Ordered and append only: a step that has been released is never edited, a change is a new step.
MIGRATIONS = (
    Migration(1, "the first raw tables", _FIRST_TABLES),
    Migration(2, "numbers of the series", _SERIES_NUMBERS),
    Migration(3, "sources of combined markets, outside values", _SOURCES_AND_OUTSIDE),
    Migration(4, "results of probabilities and of walks forward", _KINDS_OF_RESULTS),
    Migration(
        5, "verdicts of promotion gates, rivals of forecasts, revised scores, significance", _PROMOTION + _SIGNIFICANCE
    ),
    Migration(6, "weights of contenders over live rounds", _WEIGHTS),
    Migration(7, "machines that are trusted again", _TRUST),
    Migration(8, "runs of loads, known gaps", _RUNS_AND_GAPS),
    Migration(9, "what a series was loaded from", _ORIGINS),
    Migration(10, "one key per fit", _KEYS_OF_TODAY),
    Migration(11, "lineage of results", "ALTER TABLE raw.results ADD COLUMN lineage VARCHAR"),
    Migration(12, "the newest score of each forecast", _LATEST_SCORES),
    Migration(13, "machines of results, marked machines", _MACHINES),
    Migration(14, "ranked results and their contenders", _RANKING),
    Migration(15, "reigns of champions", _REIGNS),
    Migration(
        16,
        "results of earlier versions of the evaluation are not ranked",
        "UPDATE raw.results SET is_ranked = is_ranked_result(status, case_json)",
    ),
    Migration(17, "novelty and contributions of forecasts", _EXPLANATIONS),
    Migration(18, "rules, signals and transactions, with the tables of trading", _TRADING),
    Migration(19, "the last verification of each chain", _VERIFICATIONS),
    Migration(
        20,
        "order of arrival of results",
        "ALTER TABLE raw.results ADD COLUMN arrival BIGINT; UPDATE raw.results SET arrival = rowid + 1",
    ),
)
