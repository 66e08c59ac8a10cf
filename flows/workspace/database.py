"""The warehouse: one DuckDB file with the loaded data (schema `raw`) and the models that dbt builds from it.

DuckDB lets one process write a file, and while it is open no other process can even read it. So flows exclude each
other: each works inside `Warehouse.locked()`, an operating system lock on `warehouse.lock` next to the file, which
waits for the holder and is released by the system when the holder dies. `Warehouse.connect()` opens the file; on first
use it is created under another name and renamed, so it is complete or absent. The ordered `MIGRATIONS` upgrade its
schema. A connection is for a few statements: close it before dbt runs, which opens the file from its own process.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb.func import SPECIAL
from filelock import FileLock, Timeout

from ml.errors import StoreError
from ml.records import Metrics

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

#: Errors of the machine, not of a statement: disk full (also at a commit), file deleted, no memory.
_MACHINE_ERRORS = (duckdb.OperationalError, duckdb.FatalException)
#: Bytes of the headers of a DuckDB file; a smaller one holds no table.
_HEADER_BYTES = 12_288


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
)


class Warehouse:
    """A warehouse file, opened for a few statements at a time."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lock_path = self.path.with_suffix(".lock")

    @contextmanager
    def locked(self, timeout_seconds: float = 600.0) -> Iterator[Warehouse]:
        """Hold the warehouse exclusively, waiting up to `timeout_seconds` for the present holder.

        Raises:
            StoreError: it was still held after that time.
        """
        self._make_folder()
        lock = FileLock(self.lock_path)
        try:
            lock.acquire(timeout=timeout_seconds)
        except Timeout:
            raise StoreError(
                f"The warehouse {self.path} is still in use by another flow after {timeout_seconds:g} s. "
                "Wait for that run to end, or stop it, and start again."
            ) from None
        except OSError as error:
            raise StoreError(f"Cannot lock {self.lock_path}: {error.strerror}. Make its folder writable.") from error
        try:
            yield self
        finally:
            lock.release()

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file (session time zone UTC) with its raw tables created and up to date; closed at the end.

        Raises:
            StoreError: the file cannot be opened or written, or was written by a newer version.
        """
        self._make_folder()
        if not self.path.exists() or not self.path.stat().st_size:
            self._create()
        connection = self._open(self.path)
        try:
            self._migrate(connection)
            yield connection
        except _MACHINE_ERRORS as error:
            raise StoreError(
                f"DuckDB stopped working on the warehouse {self.path}: {_line(error)}. Data stored before are kept. "
                f"{self._free_space()}; when there is enough, run again."
            ) from error
        finally:
            connection.close()

    def _create(self) -> None:
        """Create an empty warehouse under another name and rename it, so that a full disk leaves no incomplete one."""
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.unlink(missing_ok=True)
            connection = self._open(new)
            try:
                self._migrate(connection)
                connection.execute("CHECKPOINT")
            finally:
                connection.close()
            self.path.with_name(self.path.name + ".wal").unlink(missing_ok=True)  # of a file that was deleted
            new.replace(self.path)
        except (OSError, *_MACHINE_ERRORS) as error:
            raise StoreError(
                f"Cannot create the warehouse {self.path}: {_line(error)}. {self._free_space()}; when there is "
                "enough, run again."
            ) from error

    def _open(self, path: Path) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(str(path))
            connection.execute("SET GLOBAL TimeZone = 'UTC'")  # global: cursors inherit it
        except duckdb.Error as error:
            raise StoreError(self._why_not_opened(error)) from error
        return connection

    def _free_space(self) -> str:
        free = shutil.disk_usage(self.path.parent).free
        return f"Its disk has {free / 2**20:,.0f} MiB free"

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"Cannot create {self.path.parent}: {error.strerror}. Choose another home with --home."
            ) from error

    def _why_not_opened(self, error: duckdb.Error) -> str:
        text = _line(error)
        if "lock" in text:
            return (
                f"The warehouse {self.path} is open in another process, and DuckDB allows one. "
                f"Close that process (a DuckDB shell, a notebook) and start again. DuckDB says: {text}"
            )
        if self.path.exists() and self.path.stat().st_size < _HEADER_BYTES:
            return (
                f"The warehouse {self.path} is incomplete: it has {self.path.stat().st_size:,} bytes and holds "
                f"nothing. Delete it and run again; {self._free_space().lower()}. DuckDB says: {text}"
            )
        return (
            f"Cannot open the warehouse {self.path}. Check that it is a DuckDB file and may be written, and the disk "
            f"not full. {self._free_space()}. DuckDB says: {text}"
        )

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Apply the migrations that this file has not seen, each in a transaction of its own."""
        try:
            current = schema_version(connection)
            newest = MIGRATIONS[-1].version
            if current > newest:
                raise StoreError(
                    f"The warehouse {self.path} has schema version {current}, this code knows up to {newest}. "
                    "Update Candleworks, or use another home."
                )
            if current < newest:
                _add_functions(connection)
            for migration in MIGRATIONS[current:]:
                _apply(connection, migration)
            _add_new_metrics(connection)
        except duckdb.Error as error:
            raise StoreError(
                f"Cannot bring the raw tables of {self.path} up to date: {_line(error)}. Check free space and "
                f"permissions. {self._free_space()}."
            ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Version of the raw schema in an open warehouse; 0 in an empty one."""
    try:
        # A query of a table that is missing would be answered from a Python object of its name.
        connection.execute("PRAGMA table_info('raw.schema_version')")
    except duckdb.CatalogException:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM raw.schema_version").fetchone()
    return int(row[0]) if row else 0


def _add_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the Python functions that migrations call."""
    # A warehouse that is up to date needs no models.
    from ml.execution.former_keys import case_of_today  # noqa: PLC0415
    from ml.execution.workers import machine_of  # noqa: PLC0415
    from ml.promotion.finalists import contender_key, is_ranked_result  # noqa: PLC0415

    def described(case_key: str, case_json: str) -> dict[str, str]:
        return dict(zip(("case_key", "case_json"), case_of_today(case_key, case_json), strict=True))

    case = duckdb.struct_type({"case_key": "VARCHAR", "case_json": "VARCHAR"})
    connection.create_function("case_of_today", described, ["VARCHAR", "VARCHAR"], case)
    connection.create_function("machine_of", machine_of, ["VARCHAR"], "VARCHAR")
    connection.create_function(
        "is_ranked_result", is_ranked_result, ["VARCHAR", "VARCHAR"], "BOOLEAN", null_handling=SPECIAL
    )
    connection.create_function("contender_key_of", contender_key, ["VARCHAR"], "VARCHAR", null_handling=SPECIAL)


def _add_new_metrics(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the metrics that `raw.results` lacks, so that a new one needs no migration; one taken away keeps its data."""
    # At each opening, so not from duckdb_columns(), which goes through all tables: it takes five times as long.
    known = {column for _, column, *_ in connection.execute("PRAGMA table_info('raw.results')").fetchall()}
    for name in Metrics.__annotations__:
        if name not in known:
            connection.execute(f"ALTER TABLE raw.results ADD COLUMN {name} DOUBLE")


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    connection.execute("BEGIN")
    try:
        connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS raw.schema_version (version BIGINT, note VARCHAR, applied_at TIMESTAMP)"
        )
        connection.execute(migration.statements)
        connection.execute(
            "INSERT INTO raw.schema_version VALUES (?, ?, now()::TIMESTAMP)", [migration.version, migration.note]
        )
        connection.execute("COMMIT")
    except duckdb.Error:
        connection.execute("ROLLBACK")
        raise
