"""The records of `ml.records` against every other place that lists their columns."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pytest
import yaml

from app.schema import TABLES
from flows.workspace.database import Warehouse
from ml import records
from ml.analysis.tables import RECORDS
from ml.analysis.tables import SCHEMAS as COMPUTED
from ml.execution.result_schema import METRICS, SCHEMA, TIMES
from ml.forecasting.seals import ChainReport
from ml.trading import records as trading
from tests.conftest import REPOSITORY

ARROW = {
    str: pa.string(), int: pa.int64(), float: pa.float64(), datetime: pa.timestamp("ms"),
    list[date]: pa.list_(pa.date32()), list[float]: pa.list_(pa.float64()),
}  # fmt: skip
SQL = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", datetime: "TIMESTAMP"}
#: Columns of a result that its file does not have.
ADDED_WHEN_READ = {"signer"}
#: Tables of the warehouse -> the record that their rows come from, and the columns that loading adds.
RAW = {
    "results": (records.ResultRow, {"result_file", "machine", "is_ranked", "contender_key", "arrival"}),
    "verdicts": (records.VerdictRecord, {"sequence", "hash"}),
    "forecasts": (records.ForecastRecord, {"sequence", "hash"}),
    "scores": (records.ScoreRecord, {"sequence", "hash"}),
    "rules": (trading.RuleRecord, {"sequence", "hash"}),
    "signals": (trading.SignalRecord, {"sequence", "hash"}),
    "transactions": (trading.TransactionRecord, {"sequence", "hash"}),
    "trading_figures": (trading.TradingFigures, {"exchange", "symbol", "timeframe", "signal", "part"}),
    "trading_equity": (trading.EquityRow, set()),
    "trading_trades": (trading.TradeRow, set()),
    "significance": (records.SignificanceRow, {"exchange", "symbol", "timeframe", "dataset_id"}),
}


def types_of(record: type) -> dict[str, Any]:
    """Column -> type, without null."""
    hints = get_type_hints(record)
    return {name: get_args(kind)[0] if isinstance(kind, UnionType) else kind for name, kind in hints.items()}


def test_the_arrow_schema_is_the_result_row() -> None:
    assert {field.name: field.type for field in SCHEMA} == {
        name: ARROW[kind] for name, kind in types_of(records.ResultRow).items() if name not in ADDED_WHEN_READ
    }
    assert set(METRICS) | set(TIMES) < set(SCHEMA.names)


def test_the_tables_of_the_warehouse_have_columns_of_their_records(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "warehouse.duckdb").connect() as connection:
        for table, (record, added) in RAW.items():
            rows = connection.execute(
                "select column_name, data_type from information_schema.columns where table_schema = 'raw' "
                "and table_name = ?",
                [table],
            ).fetchall()
            assert rows
            known = types_of(record)
            assert {name for name, _ in rows} - added <= known.keys(), table
            for name, kind in rows:
                if name in known and known[name] in SQL and kind != "TIMESTAMP":  # times of JSON records are text
                    assert kind == SQL[known[name]], (table, name)


def test_the_dashboard_reads_the_verification_of_chains() -> None:
    columns = dict(column.split() for column in TABLES["chains"].split(", "))
    known = {name: SQL[kind] for name, kind in types_of(ChainReport).items()}
    assert columns == known | {"verified_at": "TIMESTAMP"}


def test_every_metric_is_in_the_contract_of_the_results() -> None:
    contract = yaml.safe_load((REPOSITORY / "dbt/models/marts/store/fct_results.yml").read_text("utf-8"))
    columns = {column["name"]: column["data_type"] for column in contract["models"][0]["columns"]}
    assert {name: columns.get(name) for name in METRICS} == dict.fromkeys(METRICS, "double")


def test_the_dashboard_reads_columns_of_the_computed_tables() -> None:
    for table, schema in COMPUTED.items():
        known = {name: SQL[kind] for name, kind in types_of(RECORDS[table]).items()}
        assert {name: ARROW[kind] for name, kind in types_of(RECORDS[table]).items() if kind is not bool} == {
            field.name: field.type for field in schema if field.type != pa.bool_()
        }
        for entry in TABLES[table].split(", "):
            name, kind = entry.split(" ")
            assert known[name] == kind, (table, name)


@pytest.mark.parametrize("table", [table for table in TABLES if table not in (*COMPUTED, "chains")])
def test_the_dashboard_reads_columns_of_the_contracts(table: str) -> None:
    (path,) = (REPOSITORY / "dbt/models/marts").rglob(f"*_{table}.yml")
    columns = {
        one["name"]: one["data_type"].upper() for one in yaml.safe_load(path.read_text("utf-8"))["models"][0]["columns"]
    }
    for entry in TABLES[table].split(", "):
        name, kind = entry.split(" ")
        assert columns[name].replace("INTEGER", "BIGINT") == kind, name
