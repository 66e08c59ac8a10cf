"""The warehouse file: created on first use, one holder at a time, and an error that says what to do."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_type_hints

import duckdb
import pytest

from flows.workspace import database as module
from flows.workspace.database import Warehouse, schema_version
from flows.workspace.migrations import MIGRATIONS, Migration
from ml.canonical import canonical_json
from ml.errors import StoreError
from ml.execution.workers import machine_of
from ml.promotion.finalists import contender_key
from ml.records import Metrics, ResultRow
from ml.trading.records import EquityRow, RuleRecord, SignalRecord, TradeRow, TradingFigures, TransactionRecord
from tests.ml.execution.test_former_keys import ONE_FIT, OTHERS, as_before
from tests.synthetic import make_case

RAW_TABLES = {
    "markets": 6,
    "candles": 11,
    "loads": 13,
    "quarantine": 13,
    "quality_checks": 12,
    "results": len(get_type_hints(ResultRow)) + 4,  # with machine, is_ranked, contender_key and the file
    "verdicts": 40,
    "forecasts": 30,
    "scores": 26,
    "weights": 9,
    "significance": 10,
    "series": 4,
    "sources": 6,
    "outside": 6,
    "marked_machines": 1,
    "reigns": 14,
    "gaps": 7,
    "origins": 4,
    "schema_version": 3,
    "verifications": 11,
    "rules": len(get_type_hints(RuleRecord)) + 1,  # all but the hashes of model cards
    "signals": len(get_type_hints(SignalRecord)) + 2,
    "transactions": len(get_type_hints(TransactionRecord)) + 2,
    "active_signals": 5,
    "trading_figures": len(get_type_hints(TradingFigures)) + 5,
    "trading_equity": len(get_type_hints(EquityRow)),
    "trading_trades": len(get_type_hints(TradeRow)),
}
NEWEST = MIGRATIONS[-1].version
CREATE = Warehouse._create  # before any fixture replaces it


@pytest.fixture(autouse=True)
def warehouses_are_created(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of this file are those of the creation, so here no warehouse is a copy (tests/flows/conftest.py)."""
    monkeypatch.setattr(Warehouse, "_create", CREATE)


@contextmanager
def another_process(script: str) -> Iterator[None]:
    """Run a script that prints a line when it is ready and then waits for its end of input."""
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        child.communicate()


def test_the_raw_tables_are_created_on_first_use_and_kept_afterwards(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "new folder" / "warehouse.duckdb")
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO raw.markets (exchange) VALUES ('kept')")
    with warehouse.connect() as connection:
        rows = connection.execute("SELECT table_name, column_count FROM duckdb_tables() WHERE schema_name = 'raw'")
        assert dict(rows.fetchall()) == RAW_TABLES
        assert connection.execute("SELECT exchange FROM raw.markets").fetchall() == [("kept",)]
        assert schema_version(connection) == NEWEST


def test_the_session_is_in_utc_and_so_are_its_cursors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with Warehouse(tmp_path / "w.duckdb").connect() as connection:
        for session in (connection, connection.cursor()):
            assert session.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)


def test_an_older_file_is_brought_up_to_date_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO raw.loads (load_id) VALUES (7)")
    steps = (
        Migration(NEWEST + 1, "loads know their pages", "ALTER TABLE raw.loads ADD COLUMN pages BIGINT DEFAULT 1"),
        Migration(NEWEST + 2, "pages are requests", "ALTER TABLE raw.loads RENAME COLUMN pages TO requests"),
    )
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, *steps))
    with warehouse.connect() as connection:
        assert connection.execute("SELECT load_id, requests FROM raw.loads").fetchall() == [(7, 1)]
        assert connection.execute("SELECT version FROM raw.schema_version").fetchall() == [
            (number + 1,) for number in range(NEWEST + 2)
        ]


def test_a_new_metric_gets_its_column_in_a_warehouse_with_results_and_keeps_it_when_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO raw.results (case_key, skill) VALUES ('a', 0.5)")
    with monkeypatch.context() as patch:
        patch.setitem(Metrics.__annotations__, "winkler_pct", "float")
        with warehouse.connect() as connection:
            assert connection.execute("SELECT skill, winkler_pct FROM raw.results").fetchall() == [(0.5, None)]
            connection.execute("UPDATE raw.results SET winkler_pct = 2.0")
    with warehouse.connect() as connection:
        assert connection.execute("SELECT winkler_pct FROM raw.results").fetchall() == [(2.0,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    with warehouse.connect():
        pass
    broken = Migration(NEWEST + 1, "broken", "DROP TABLE raw.loads; DROP TABLE raw.nowhere")
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(StoreError, match=r"Cannot bring the raw tables .* up to date"), warehouse.connect():
            pass
    with warehouse.connect() as connection:
        assert connection.execute("SELECT count(*) FROM raw.loads").fetchone() == (0,)
        assert schema_version(connection) == NEWEST


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO raw.schema_version VALUES (99, 'from the future', NULL)")
    with (
        pytest.raises(StoreError, match=rf"schema version 99, this code knows up to {NEWEST}\. Update"),
        warehouse.connect(),
    ):
        pass


def test_a_file_that_is_no_warehouse_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    path.write_text("these are no candles" * 1000)
    with (
        pytest.raises(StoreError, match=r"Cannot open the warehouse .*w\.duckdb\. Check") as caught,
        Warehouse(path).connect(),
    ):
        pass
    assert "\n" not in str(caught.value)


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `n_bytes`; a write beyond fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def markets_of(warehouse: Warehouse) -> list[tuple[str]]:
    with warehouse.connect() as connection:
        return connection.execute("SELECT exchange FROM raw.markets ORDER BY 1").fetchall()


@pytest.mark.parametrize("n_bytes", [0, 5_000, 14_000, 400_000])
def test_a_disk_that_is_full_at_creation_leaves_no_warehouse_and_the_next_run_makes_one(
    tmp_path: Path, n_bytes: int
) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    with full_disk(n_bytes), pytest.raises(StoreError) as caught, warehouse.connect():
        pass
    assert "\n" not in str(caught.value)
    assert "MiB free" in str(caught.value)
    assert not warehouse.path.exists()
    assert markets_of(warehouse) == []


@pytest.mark.parametrize("n_bytes", [100, 700_000])
def test_a_disk_that_gets_full_in_the_middle_of_a_load_keeps_what_was_stored(tmp_path: Path, n_bytes: int) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO raw.markets (exchange) VALUES ('kept')")
    with full_disk(n_bytes), pytest.raises(StoreError) as caught, warehouse.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO raw.markets (exchange) SELECT uuid() FROM range(200_000)")
        connection.execute("COMMIT")
    assert "stopped working on the warehouse" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "MiB free" in str(caught.value)
    assert markets_of(warehouse) == [("kept",)]


def test_an_error_of_a_statement_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(duckdb.CatalogException), Warehouse(tmp_path / "w.duckdb").connect() as connection:
        connection.execute("SELECT * FROM nothing")


def test_an_empty_file_is_taken_for_none(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    warehouse.path.touch()
    assert markets_of(warehouse) == []


def test_a_file_without_whole_headers_is_named_and_its_remedy_works(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    assert markets_of(warehouse) == []
    warehouse.path.write_bytes(warehouse.path.read_bytes()[:5_000])
    with pytest.raises(StoreError, match=r"is incomplete.*Delete it and run again") as caught, warehouse.connect():
        pass
    assert "\n" not in str(caught.value)
    warehouse.path.unlink()
    assert markets_of(warehouse) == []


@pytest.mark.e2e
def test_what_is_left_of_a_deleted_warehouse_does_not_come_into_the_new_one(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    crash = (
        "import os; from flows.workspace.database import Warehouse; from pathlib import Path\n"
        f"with Warehouse(Path({str(warehouse.path)!r})).connect() as connection:\n"
        "    connection.execute(\"INSERT INTO raw.markets (exchange) VALUES ('old')\"); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", crash], check=False)
    assert warehouse.path.with_name("w.duckdb.wal").exists()
    warehouse.path.unlink()
    assert markets_of(warehouse) == []


@pytest.mark.e2e
def test_a_file_open_in_another_process_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    script = (
        f"import duckdb, sys; connection = duckdb.connect({str(path)!r}); print('ready', flush=True); sys.stdin.read()"
    )
    with (
        another_process(script),
        pytest.raises(StoreError, match="is open in another process") as caught,
        Warehouse(path).connect(),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.e2e
def test_a_lock_held_elsewhere_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    script = (
        f"import filelock, sys; lock = filelock.FileLock({str(warehouse.lock_path)!r}); lock.acquire(); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    with (
        another_process(script),
        pytest.raises(StoreError, match=r"still in use by another flow after 0\.2 s") as caught,
        warehouse.locked(timeout_seconds=0.2),
    ):
        pass
    assert "\n" not in str(caught.value)
    # its holder ended without releasing it; the system did
    with warehouse.locked(timeout_seconds=1):
        pass


def test_the_lock_is_released_when_the_work_fails(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    with pytest.raises(ZeroDivisionError), warehouse.locked():
        raise ZeroDivisionError
    with warehouse.locked(timeout_seconds=0):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="Choose another home with --home"),
        Warehouse(tmp_path / "file" / "w.duckdb").connect(),
    ):
        pass


def test_an_older_warehouse_gets_the_newest_score_of_each_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    scores = [(1, "f1", 9.0, 0.4), (2, "f2", 1.0, 0.2), (3, "f1", 3.0, None)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", MIGRATIONS[:11])
        with warehouse.connect() as connection:
            for score in scores:
                connection.execute(
                    'insert into raw.scores (sequence, forecast_hash, error_pct, "conformity") values (?, ?, ?, ?)',
                    score,
                )
    with warehouse.connect() as connection:
        connection.execute("insert into raw.scores (sequence, forecast_hash, error_pct) values (4, 'f3', 7)")
        found = connection.execute(
            "select forecast_hash, sequence, error_pct, s.conformity, n_scores from raw.latest_scores as s order by all"
        ).fetchall()
    # The newest score of f1 counts although an earlier one has a nonconformity score and this one has none.
    assert found == [("f1", 3, 3.0, None, 2), ("f2", 2, 1.0, 0.2, 1), ("f3", 4, 7.0, None, 1)]


def test_results_of_an_older_warehouse_get_the_machine_of_their_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    workers = ["box:17:3.50", "rack:2:box:19:5.00", "a:b", "alone", None]
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", MIGRATIONS[:12])
        with warehouse.connect() as connection:
            for worker in workers:
                connection.execute("insert into raw.results (worker) values (?)", [worker])
    with warehouse.connect() as connection:
        found = connection.execute("select machine from raw.results order by rowid").fetchall()
    assert found == [("box",), ("rack:2:box",), ("a",), ("alone",), (None,)]
    assert [one[0] for one in found[:-1]] == [machine_of(worker) for worker in workers if worker]


def test_results_of_an_older_warehouse_get_their_rank_and_contender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    case = make_case().content()
    texts = [canonical_json(case), json.dumps({**case, "seeds": [3]}, indent=1), '{"target": "trade"}', "[1]", None]
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", MIGRATIONS[:13])
        with warehouse.connect() as connection:
            for status, text in [*(("tested", one) for one in texts), ("failed", texts[0])]:
                connection.execute("insert into raw.results (status, case_json) values (?, ?)", [status, text])
    with warehouse.connect() as connection:
        found = connection.execute("select is_ranked, contender_key from raw.results order by rowid").fetchall()
    mates, other = contender_key(texts[0]), contender_key(texts[2])
    assert mates is not None
    assert found == [(True, mates), (True, mates), (False, other), (False, None), (False, None), (False, mates)]


def test_cases_of_a_warehouse_from_before_get_their_key_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb")
    rows = [as_before(make_case(), changes) for changes in (*ONE_FIT, *OTHERS)]
    former = [row["case_key"] for row in rows]
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", MIGRATIONS[:9])
        with warehouse.connect() as connection:
            for row in rows:
                connection.execute(
                    "insert into raw.results by name select ? as case_key, ? as case_json, 'd1' as dataset_id",
                    [row["case_key"], row["case_json"]],
                )
                connection.execute(
                    "insert into raw.significance by name select ? as case_key, 'd1' as dataset_id", [row["case_key"]]
                )
            connection.execute(
                "insert into raw.verdicts by name select ? as case_key, ? as incumbent_case_key", former[:2]
            )
            connection.execute("insert into raw.forecasts by name select ? as case_key", [former[4]])
    one, two, three = (make_case(params={"alpha": alpha}).key for alpha in (1, 2, 3))
    with warehouse.connect() as connection:
        assert connection.execute("select case_key from raw.results order by rowid").fetchall() == [
            (key,) for key in (one, one, one, one, two, three)
        ]
        assert {row[0] for row in connection.execute("select case_json from raw.results limit 4").fetchall()} == {
            canonical_json(make_case().content())
        }
        assert sorted(connection.execute("select case_key from raw.significance").fetchall()) == sorted(
            [(one,), (two,), (three,)]
        )
        assert connection.execute("select case_key, incumbent_case_key from raw.verdicts").fetchall() == [(one, one)]
        assert connection.execute("select case_key from raw.forecasts").fetchall() == [(two,)]


def test_a_warehouse_that_was_emptied_or_is_not_built_yet_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.touch()
    named = r"no features and marts.*`candleworks transform`"
    with caplog.at_level("WARNING"), pytest.raises(StoreError, match=named), Warehouse(path).connect() as connection:
        connection.execute("select * from marts.fct_candles")
    assert "is damaged (empty): a new one is made" in caplog.text
