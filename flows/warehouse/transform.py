"""Transformation: dbt over the warehouse, in a process of its own.

dbt keeps state in classes and opens the warehouse itself, so it runs as a child, which dies with us and releases the
file: close your connection before `run_dbt`, and hold `Warehouse.locked()` around both. Results are read from dbt's
artefacts (`run_results.json`, or its exception if it fails before the first model), so that an error here names the
model and quotes DuckDB. The manifest of the last run is also the feature catalogue: every feature column is described
once, in the YAML of its model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import duckdb

from flows.warehouse.dbt_process import DbtPlace, process_for
from flows.workspace.loads import Load, last_load_ms, next_load_id, write_load
from flows.workspace.product_files import product_file
from ml.errors import CandleDataError, CandleworksError, ConfigurationError, StoreError
from ml.series import Series
from ml.timeframes import milliseconds, naive_utc

#: Environment variable with the folder of a dbt project to use instead of the product's own.
PROJECT_VARIABLE = "CANDLEWORKS_DBT_PROJECT"
_FEATURE_MODELS = "int_features__"


@dataclass(frozen=True)
class DbtSummary:
    """Summary of a dbt run. Counts are of nodes; `seconds` is dbt's own time without its start."""

    models: int
    tests: int
    warnings: int
    seconds: float
    warned: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = f" ({', '.join(self.warned)})" if self.warned else ""
        warned = f", {self.warnings} with warnings{names}" if self.warnings else ""
        return f"{self.models} models built, {self.tests} tests passed{warned} in {self.seconds:.1f} s"


def write_markets(connection: duckdb.DuckDBPyConnection, series: Iterable[Series], base_timeframe: str) -> None:
    """Replace `raw.markets`: one row for every series, and one for the base timeframe of every market.

    Raises:
        ConfigurationError: a timeframe is not a multiple of the base timeframe.
    """
    base_ms = milliseconds(base_timeframe)
    rows: dict[tuple[str, str, str], int] = {}
    for one in series:
        rows[one.exchange, one.symbol, base_timeframe] = base_ms
        length_ms = milliseconds(one.timeframe)
        if length_ms % base_ms:
            raise ConfigurationError(
                f"Timeframe {one.timeframe} cannot be made of {base_timeframe} candles. "
                "Choose a base_timeframe that divides every timeframe."
            )
        rows[one.exchange, one.symbol, one.timeframe] = length_ms
    connection.execute("BEGIN")
    connection.execute("DELETE FROM raw.markets")
    for (exchange, symbol, timeframe), length_ms in rows.items():
        connection.execute(
            "INSERT INTO raw.markets BY NAME SELECT ? AS exchange, ? AS symbol, ? AS base_timeframe, ? AS timeframe, "
            "? AS timeframe_ms, ? AS base_ms",
            [exchange, symbol, base_timeframe, timeframe, length_ms, base_ms],
        )
    connection.execute(_NUMBER_NEW_SERIES)
    connection.execute("COMMIT")


def write_sources(
    connection: duckdb.DuckDBPyConnection,
    sources: Mapping[tuple[str, str], Sequence[tuple[str, str]]],
    minimal_sources: int = 1,
) -> None:
    """Replace `raw.sources`; a market whose sources have changed is rebuilt by the next run of dbt.

    Args:
        connection: an open warehouse.
        sources: combined exchange and symbol -> exchange and symbol of each source; empty where nothing is combined.
        minimal_sources: bars that fewer sources have are gaps.
    """
    rows = []
    connection.execute("BEGIN")
    for market, pairs in sources.items():
        wanted = sorted((*pair, minimal_sources) for pair in pairs)
        known = connection.execute(
            "SELECT source_exchange, source_symbol, minimal_sources, since_load_id FROM raw.sources "
            "WHERE exchange = ? AND symbol = ? ORDER BY ALL",
            market,
        ).fetchall()
        unchanged = [row[:3] for row in known] == wanted
        since_load_id = known[0][3] if unchanged else _begin_anew(connection, market, pairs)
        rows += [(*market, exchange, symbol, since_load_id, minimal) for exchange, symbol, minimal in wanted]
    connection.execute("DELETE FROM raw.sources")
    for row in rows:
        connection.execute("INSERT INTO raw.sources VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.execute("COMMIT")


def rebased_series(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Symbol, timeframe and base timeframe of the series whose features were built from a former base timeframe.

    The next run of dbt rebuilds their candles, features and labels from the current one.
    """
    known = connection.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE schema_name = 'intermediate' "
        "AND table_name = 'int_candles__featured' AND column_name = 'base_ms'"
    ).fetchone()
    if not known or not known[0]:
        return []
    rows = connection.execute(
        "SELECT symbol, timeframe, base_timeframe FROM raw.markets JOIN raw.series USING (exchange, symbol, timeframe) "
        "JOIN (SELECT candle_id // 10000000000000 AS series_id, arg_max(base_ms, seen_load_id) AS made_of "
        "FROM intermediate.int_candles__featured GROUP BY ALL) USING (series_id) "
        "WHERE made_of != base_ms ORDER BY symbol, timeframe_ms"
    ).fetchall()
    return [(str(symbol), str(timeframe), str(base)) for symbol, timeframe, base in rows]


# Tables that dbt updates incrementally by load.
_BUILT_BY_LOAD = """
    SELECT schema_name || '.' || table_name
    FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
    WHERE schema_name IN ('intermediate', 'marts') AND column_name IN ('exchange', 'symbol', 'open_time', 'load_id')
    GROUP BY schema_name, table_name
    HAVING count(*) = 4
"""


def _begin_anew(
    connection: duckdb.DuckDBPyConnection, market: tuple[str, str], pairs: Sequence[tuple[str, str]]
) -> int:
    """Record new sources of a market as a load, whose id marks all its bars as new; returns that id."""
    # Bars of the old sources may begin earlier than those of the new ones and would not be overwritten.
    for (table,) in connection.execute(_BUILT_BY_LOAD).fetchall():
        connection.execute(f"DELETE FROM {table} WHERE exchange = ? AND symbol = ?", market)
    message = "sources: " + ", ".join(" ".join(pair) for pair in pairs)
    now_ms = last_load_ms(connection)
    started_at = naive_utc(now_ms) if now_ms is not None else None
    load_id = next_load_id(connection)
    # A combined market has no timeframe of its own.
    write_load(connection, Load(load_id, [*market, ""], started_at, message=message))
    return load_id


# Numbers are assigned once and never reused, so that the rows of a series keep theirs when the configuration changes.
_NUMBER_NEW_SERIES = """
    INSERT INTO raw.series
    SELECT (SELECT coalesce(max(series_id), 0) FROM raw.series)
        + row_number() OVER (ORDER BY exchange, symbol, timeframe_ms), exchange, symbol, timeframe
    FROM raw.markets ANTI JOIN raw.series USING (exchange, symbol, timeframe)
"""


def run_dbt(
    warehouse_path: Path,
    command: Sequence[str],
    *,
    target_path: Path,
    log_path: Path,
    unit_tests: bool = False,
) -> DbtSummary:
    """Run one dbt command over a warehouse that no process has open.

    Args:
        warehouse_path: The DuckDB file.
        command: dbt's arguments, such as ``["build", "--select", "tag:candles"]``.
        target_path: Folder for dbt's artefacts; keep it, dbt starts faster with its last manifest.
        log_path: Folder for dbt's log, ``dbt.log``.
        unit_tests: Run dbt's unit tests too. They test the SQL, not the data, so hourly runs omit them.

    Raises:
        StoreError: a model could not be built, or its SQL fails a unit test; the message names it.
        CandleDataError: all models were built, but the data breaks a test.
    """
    logs = log_path.resolve()
    place = dbt_place(warehouse_path, target_path=target_path, log_path=log_path, unit_tests=unit_tests)
    results = target_path.resolve() / "run_results.json"
    results.unlink(missing_ok=True)
    with process_for(place) as process:
        exit_code = process.run(command)
        ran: _RunResults = {"results": [], "elapsed_time": 0.0}
        if results.exists():
            ran = json.loads(results.read_text("utf-8"))
        failure = _failure(ran["results"], process.output, logs / "dbt.log") if exit_code != 0 else None
    if failure is not None:  # outside the block: the process stays usable for the next command
        raise failure
    return _summary(ran)


def dbt_project() -> Path:
    """The dbt project. Nothing is written into it; dbt's target folder and logs are in the home.

    Raises:
        ConfigurationError: the folder in the environment variable has no project.
    """
    named = os.environ.get(PROJECT_VARIABLE)
    if not named:
        return product_file("dbt")
    folder = Path(named)
    if not folder.is_absolute() or not (folder / "dbt_project.yml").is_file():
        raise ConfigurationError(
            f"{PROJECT_VARIABLE} is {named}, which is no absolute path of a folder with dbt_project.yml. "
            "Name the copy of dbt/ that you edit, or unset it."
        )
    return folder


def dbt_place(warehouse_path: Path, *, target_path: Path, log_path: Path, unit_tests: bool = False) -> DbtPlace:
    """The place at which `run_dbt` works with the same arguments, to keep a dbt process for it."""
    target, logs = target_path.resolve(), log_path.resolve()
    logs.mkdir(parents=True, exist_ok=True)
    project = dbt_project()
    return DbtPlace.of(project, _environment(project, warehouse_path.resolve(), target, logs, unit_tests), target)


def _environment(project: Path, warehouse: Path, target: Path, logs: Path, unit_tests: bool) -> dict[str, str]:
    return {
        "CANDLEWORKS_WAREHOUSE": str(warehouse),
        "DBT_PROJECT_DIR": str(project),
        "DBT_PROFILES_DIR": str(project),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(logs),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_VERSION_CHECK": "false",
        "DBT_PARTIAL_PARSE": "true",
        "DBT_LOG_FORMAT_FILE": "text",
        "DBT_LOG_LEVEL_FILE": "info",  # every detail of every node takes a tenth of the time
        **({} if unit_tests else {"DBT_EXCLUDE_RESOURCE_TYPES": "unit_test"}),
    }


class _Node(TypedDict):
    """What dbt reports of a model or test that it ran."""

    unique_id: str
    status: str
    message: str | None


class _RunResults(TypedDict):
    """dbt's ``run_results.json``."""

    results: list[_Node]
    elapsed_time: float


class FeatureColumn(TypedDict):
    """A feature column in the catalogue.

    `lookback`: candles until the value is exact; `relative`: whether it is independent of the price level.
    """

    column: str
    group: str
    formula: str
    unit: str
    lookback: int
    relative: bool
    description: str


def _summary(artefact: _RunResults) -> DbtSummary:
    statuses = [(_kind(node), node["status"]) for node in artefact["results"]]
    return DbtSummary(
        models=statuses.count(("model", "success")),
        tests=statuses.count(("test", "pass")) + statuses.count(("unit_test", "pass")),
        warnings=sum(status == "warn" for _, status in statuses),
        seconds=float(artefact["elapsed_time"]),
        warned=tuple(_name(node) for node in artefact["results"] if node["status"] == "warn"),
    )


def _kind(node: _Node) -> str:
    return node["unique_id"].split(".", 1)[0]


def _name(node: _Node) -> str:
    # a model or data test: kind.project.name; a unit test: kind.project.model.name
    return node["unique_id"].split(".")[3 if _kind(node) == "unit_test" else 2]


def _failure(nodes: list[_Node], output: Path, log: Path) -> CandleworksError:
    """The error to raise for a failed run: of a node that could not run, else a unit test, a data test, or dbt."""
    broken = [node for node in nodes if node["status"] in ("error", "runtime error")]
    failed = [node for node in nodes if node["status"] == "fail"]
    untrue = [node for node in failed if _kind(node) == "unit_test"]
    where = f"The whole log: {log}"
    if broken:
        what = _TASKS.get(_kind(broken[0]), "build ") + _name(broken[0])
        return StoreError(f"dbt could not {what}: {_remedy(_one_line(broken[0]['message'] or ''))} {where}")
    if untrue:
        model = untrue[0]["unique_id"].split(".")[2]
        return StoreError(
            f"The SQL of {model} fails its unit test {_name(untrue[0])}{_others(untrue)}, independent of the data. "
            f"Correct the model or the test; the log shows expected and actual rows: {log}"
        )
    if failed:
        message = _one_line(failed[0]["message"] or "")
        return CandleDataError(f"The data breaks the dbt test {_name(failed[0])}{_others(failed)}: {message}. {where}")
    return StoreError(f"dbt stopped before the first model: {_remedy(_said(output))} {where}")


#: What dbt should have done with a node that is not a model.
_TASKS = {"unit_test": "run the unit test ", "test": "run the test "}


def _others(nodes: list[_Node]) -> str:
    return f" (and {len(nodes) - 1} more)" if len(nodes) > 1 else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _remedy(message: str) -> str:
    if "Could not set lock" in message:
        return f"another process has the warehouse open; close it and start again. {message}"
    return message if message.endswith(".") else f"{message}."


def _said(output: Path) -> str:
    """dbt's exception in one line."""
    text = _one_line(output.read_text("utf-8", errors="replace")) if output.exists() else ""
    return text.split(" Traceback (most recent call last)")[0] or "it said nothing"


def feature_catalogue(target_path: Path) -> list[FeatureColumn]:
    """Every feature column as the last dbt run knew it, in the order of `fct_features`.

    Raises:
        StoreError: dbt has not run yet.
    """
    path = target_path / "manifest.json"
    try:
        nodes = json.loads(path.read_text("utf-8"))["nodes"]
    except FileNotFoundError:
        raise StoreError(
            f"There is no feature catalogue in {target_path} yet. Run `candleworks transform` first."
        ) from None
    # the mart takes the groups in its order, and all columns of each
    mart = next(node for node in nodes.values() if node["name"] == "fct_features")
    groups = [nodes[name] for name in mart["depends_on"]["nodes"] if nodes[name]["name"].startswith(_FEATURE_MODELS)]
    return [
        {
            "column": name,
            "group": column["meta"]["group"],
            "formula": column["meta"]["formula"],
            "unit": column["meta"]["unit"],
            "lookback": column["meta"]["lookback"],
            "relative": column["meta"]["relative"],
            "description": column["description"],
        }
        for group in groups
        for name, column in group["columns"].items()
        if "lookback" in column["meta"]
    ]
