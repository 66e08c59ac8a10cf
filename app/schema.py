"""Tables of the published snapshot: the files of a version, and the columns and types that the pages read.

A missing file is an empty table and a missing column is null, so a snapshot of a new or damaged workspace can be shown.
"""

from __future__ import annotations

_TYPES = {"text": "VARCHAR", "whole": "BIGINT", "real": "DOUBLE", "time": "TIMESTAMP", "flag": "BOOLEAN"}


def _columns(**names: str) -> str:
    """DDL of a table of series, from kind of column -> names."""
    names["text"] = f"exchange symbol timeframe {names.get('text', '')}"
    return ", ".join(f"{name} {_TYPES[kind]}" for kind, group in names.items() for name in group.split())


PARTS = ("validation", "holdout", "paper")
"""Parts of the history of a trading rule: the rows that chose it, rows that chose nothing, and live paper trading."""

_PART_FIGURES = (
    "return_pct holding_pct lower_pct upper_pct win_rate profit_factor max_drawdown_pct sharpe sortino exposure "
    "turnover fees_share break_even_fee_pct"
)


def _of_parts(names: str) -> str:
    return " ".join(f"{part}_{name}" for part in PARTS for name in names.split())


TABLES: dict[str, str] = {
    "markets": _columns(
        text="base_timeframe",
        whole="timeframe_ms base_ms",
    ),
    "candles": _columns(
        real="open high low close volume",
        time="open_time close_time",
        flag="is_gap",
    ),
    "leaderboard": _columns(
        text="case_key dataset_id model model_family feature_set baseline worker case_json",
        whole="rank n_features lags n_trials n_validation",
        real=(
            "rmse_pct rmse_quote rmse_high_pct rmse_low_pct rmse_close_pct mae_pct baseline_rmse_pct skill "
            "skill_mean_range skill_har_range skill_last_candle skill_high skill_low skill_close skill_seed_std "
            "pinball_pct winkler_pct band_coverage direction_accuracy direction_se direction_net_pct "
            "holdout_skill fit_seconds skill_lower skill_upper spa_p_value"
        ),
        time="finished_at",
        flag="is_champion is_finalist in_confidence_set",
    ),
    "champions": _columns(
        text="model case_key model_id baseline reason state",
        whole="holdout_openings n_trials live_forecasts",
        real=(
            "skill skill_mean_range rmse_pct holdout_skill holdout_rmse_pct holdout_band_coverage p_value "
            "live_error_pct live_baseline_error_pct live_skill live_coverage live_hit_rate age_days "
            "review_skill"
        ),
        time="promoted_at trained_through reviewed_at",
        flag="is_baseline",
    ),
    "champion_history": _columns(
        text="model case_key model_id ended_by baseline",
        whole="sequence n_trials holdout_rows live_forecasts",
        real="p_value skill rmse_pct holdout_skill live_error_pct live_baseline_error_pct live_skill",
        time="promoted_at ended_at",
        flag="is_current",
    ),
    "verdicts": _columns(
        text="dataset_id case_key model incumbent_case_key decision rule reason baseline false_claim_worker",
        whole="sequence holdout_openings holdout_rows n_trials n_days review_rows",
        real=(
            "skill skill_mean_range rmse_pct p_value t_statistic alpha gain minimal_gain spa_p_value holdout_rmse_pct "
            "holdout_skill holdout_band_coverage review_skill"
        ),
        time="decided_at holdout_start holdout_end",
        flag="holdout_opened",
    ),
    "forecasts": _columns(
        text="hash model model_id case_key baseline reason bands rivals contributions",
        whole="sequence",
        real=(
            "open high low close band_low band_high band_level baseline_high baseline_low baseline_close actual_open "
            "actual_high actual_low actual_close error_pct baseline_error_pct novelty"
        ),
        time="target_open_time target_close_time information_time issued_at scored_at",
        flag="late covered direction_hit is_current",
    ),
    "scores": _columns(
        text="forecast_hash rival_errors",
        whole="sequence revision",
        real=(
            "error_pct baseline_error_pct skill high_error_pct low_error_pct close_error_pct pinball_pct conformity "
            "actual_open actual_high actual_low actual_close"
        ),
        time="target_open_time scored_at",
        flag="covered direction_hit late",
    ),
    "band_reliability": _columns(
        whole="forecasts",
        real="level coverage pinball_pct",
        flag="alarm",
    ),
    "band_groups": _columns(
        text="grouped_by group_name",
        whole="group_number forecasts",
        real="coverage coverage_se",
        flag="alarm",
    ),
    "weights": _columns(
        text="contender",
        real="round_score volatility_weight weight",
        time="round_time",
        flag="is_latest",
    ),
    "error_history": _columns(
        text="case_key model",
        whole="trial",
        real="rmse_pct skill best_rmse_pct best_skill",
        time="finished_at",
    ),
    "data_health": _columns(
        text="last_load_status last_load_message freshness",
        whole=(
            "candles gaps quarantined quarantined_last_run last_run_rows checks_run checks_failed checks_not_applicable"
        ),
        real="lag_candles",
        time="first_open_time last_open_time last_close_time exchange_time",
    ),
    "chains": (
        "chain VARCHAR, verified_at TIMESTAMP, records BIGINT, head VARCHAR, problem VARCHAR, unsigned BIGINT, "
        "earlier_key BIGINT, replayed BIGINT, anchored BIGINT, anchored_at TIMESTAMP, anchored_by VARCHAR"
    ),
    "quality_checks": _columns(
        text="rule severity detail",
        whole="load_id run_id rows_checked rows_failed rows_checked_ever rows_failed_ever",
        time="checked_at",
        flag="success",
    ),
    "quarantine": _columns(
        text="rule detail",
        whole="load_id",
        real="open high low close volume",
        time="open_time loaded_at",
    ),
    "results": _columns(
        text="case_key dataset_id model feature_set status error worker machine",
        real="fit_seconds rmse_pct skill",
        time="started_at finished_at",
        flag="is_ranked",
    ),
    "trading_rules": _columns(
        text="signal signal_key model description sizing reason",
        whole=f"trials {_of_parts('trades')}",
        real=f"buy sell fee_pct cost_pct p_value deflated_sharpe {_of_parts(_PART_FIGURES)}",
        time="decided_at",
        flag="long_only is_shown",
    ),
    "effects": _columns(
        text="dataset_id scope factor best_value worst_value",
        whole="rank n n_failed n_values",
        real="importance lower upper best_mean worst_mean",
    ),
    "effect_values": _columns(
        text="dataset_id scope factor value",
        whole="place n n_failed",
        real="mean_skill lower upper best_skill",
        flag="is_few",
    ),
    "effect_cases": _columns(
        text="dataset_id case_key status factors",
        real="skill",
    ),
    "boundaries": _columns(
        text="dataset_id x_feature y_feature case_key model target classes majority_class",
        whole="n_inputs n_train n_held_out",
        real="accuracy majority_accuracy accuracy_se",
        flag="is_default",
    ),
    "boundary_cells": _columns(
        text="dataset_id x_feature y_feature",
        whole="decided n_train",
        real="x y probability",
        flag="is_sparse",
    ),
    "boundary_points": _columns(
        text="dataset_id x_feature y_feature",
        whole="happened decided",
        real="x y",
        time="open_time",
    ),
    # `time` is the close of the row's last candle: a fill at that very moment is not in the row yet.
    "trading_equity": _columns(
        text="signal part",
        whole="side",
        real="gross equity holding score",
        time="time",
    ),
    "trading_trades": _columns(
        text="signal part side entry_reason exit_reason",
        whole="number",
        real=("entry_price exit_price quantity fees slippage pnl return_pct balance exit_turnover entry_score"),
        time="entry_time exit_time",
    ),
    "trading_signals": _columns(
        text="signal signs reason",
        whole="sequence side",
        real="score",
        time="open_time close_time issued_at",
    ),
}
"""Name of the file (without `.parquet`) -> the columns that the pages read, as DuckDB DDL."""
