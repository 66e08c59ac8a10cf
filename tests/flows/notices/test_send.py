"""The steps of flows: rows of the warehouse become messages, once, also in a new home."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.notices import rows
from flows.notices.delivery import Delivered
from flows.notices.outbox import Outbox
from flows.notices.rows import read_rows
from flows.notices.send import check, notice_records, send_notices
from flows.reporting import TerminalReporter
from flows.settings import load_settings
from flows.workspace.workspace import Workspace
from ml.errors import StoreIOError
from ml.forecasting.chain import Chain
from ml.store import Store
from tests.flows.notices.conftest import T0, at, fill_row, signal_row

pytestmark = pytest.mark.usefixtures("warehouses_kept_open")


def workspace_at(home: Path, *targets: dict[str, Any], silent_hours: float = 1000) -> Workspace:
    notices = {"targets": list(targets), "verify_hours": 0, "silent_hours": silent_hours}
    return Workspace(home, load_settings(None, {"notices": notices}))


@pytest.fixture
def log(tmp_path: Path) -> dict[str, Any]:
    return {"name": "log", "kind": "file", "path": str(tmp_path / "notices.jsonl")}


@pytest.fixture
def workspace(tmp_path: Path, log: dict[str, Any]) -> Workspace:
    return workspace_at(tmp_path, log)


def insert(workspace: Workspace, table: str, rows: Sequence[Any]) -> None:
    """Add rows as the load of the chains does, in the order of their hours."""
    with workspace.warehouse.connect() as connection:
        for row in rows:
            row["sequence"] = connection.execute(f"select count(*) + 1 from raw.{table}").fetchone()[0]
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            connection.execute(f"insert into raw.{table} ({names}) values ({marks})", list(row.values()))


def insert_fills(workspace: Workspace, *hours: int) -> None:
    """Add transactions of one fill each."""
    of_transaction = ("exchange", "symbol", "timeframe", "signal", "hash")
    rows = []
    for fill in map(fill_row, hours):
        fills = json.dumps([{name: value for name, value in fill.items() if name not in (*of_transaction, "time")}])
        rows.append({**{name: fill[name] for name in of_transaction}, "open_time": fill["time"], "fills": fills})
    insert(workspace, "transactions", rows)


def texts(workspace: Workspace) -> list[str]:
    path = workspace.home / "notices.jsonl"
    return [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def test_a_new_home_has_no_events(workspace: Workspace) -> None:
    assert read_rows(workspace) == ([], [])
    assert send_notices(workspace, T0) == Delivered(0, ["log"], [])


def test_new_signals_and_fills_are_one_message_each_however_often_the_step_runs(workspace: Workspace) -> None:
    insert(workspace, "signals", [signal_row(0, 0), signal_row(1, 1)])
    insert_fills(workspace, 1)
    send_notices(workspace, at(2))
    assert texts(workspace) == [], "they were there before the target"
    insert(workspace, "signals", [signal_row(2, 2, score=0.31), signal_row(3, 2)])
    insert_fills(workspace, 3)
    wanted = [
        "BTC/USDT 1h trend: 43,210.5 ▲▲ +0.310 (rises)",
        "BTC/USDT 1h trend: paper buy 0.25 at 43,210.5, fee 10.8, balance 9,989.20 (signal)",
    ]
    for hour in (4, 5, 6):
        send_notices(workspace, at(hour))
        check(workspace, at(hour + 0.5))
        assert texts(workspace) == wanted


def test_rows_long_before_the_newest_make_no_events_and_the_one_before_the_window_is_compared_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(workspace, "signals", [signal_row(hour, steps) for hour, steps in ((0, 0), (1, 1), (400, 1), (401, 2))])
    insert_fills(workspace, 1, 400)
    signals, fills = read_rows(workspace)
    assert [row["open_time"] for row in signals] == [at(hour).replace(tzinfo=None) for hour in (1, 400, 401)]
    assert [row["hash"] for row in fills] == ["f1-1", "f400-1"], "after an outage old candles are traded: none is lost"
    monkeypatch.setattr("flows.notices.rows._FILLS", rows._FILLS.replace(str(rows.WINDOW_TRANSACTIONS), "1"))
    assert [row["hash"] for row in read_rows(workspace)[1]] == ["f400-1"]


def test_an_event_is_once_also_if_the_store_fails_in_the_middle(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_notices(workspace, T0)
    insert(workspace, "signals", [signal_row(hour, hour) for hour in range(4)])
    finish = Outbox.finish
    failures = iter([True, False, True])

    def fail_now_and_then(*arguments: Any) -> bool:
        if next(failures, False):
            raise StoreIOError("no space")
        return finish(*arguments)

    monkeypatch.setattr(Outbox, "finish", fail_now_and_then)
    for hour in range(4, 8):
        try:
            send_notices(workspace, at(hour))
        except StoreIOError:
            continue
    assert len(texts(workspace)) == 3
    assert {record["state"] for record in notice_records(workspace, at(9))} == {"sent"}


def test_a_broken_chain_is_one_alarm_and_one_all_clear(workspace: Workspace) -> None:
    chain = Chain(workspace.store, "forecasts")
    chain.append({"a": 1})  # the rules want more fields: a bad record
    path = "forecasts/0000000001.json"
    content = workspace.store.read(path)
    workspace.store.delete(path)
    send_notices(workspace, T0)
    workspace.store.replace(path, content)
    for hour in (1, 2):
        send_notices(workspace, at(hour))
        check(workspace, at(hour + 0.5))
    workspace.store.delete(path)
    check(workspace, at(3))
    assert len(texts(workspace)) == 1, "the check between runs does not read the chains"
    for hour in (4, 5):
        send_notices(workspace, at(hour))
    alarm, over = texts(workspace)
    assert alarm.startswith("ALARM chain forecasts does not verify after 0 records: forecasts/0000000001.json")
    assert over == "ALL CLEAR chain forecasts: its 0 records verify again."


def test_between_two_verifications_the_chains_are_not_read(
    log: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours: list[float] = []
    workspace = Workspace(tmp_path, load_settings(None, {"notices": {"targets": [log], "verify_hours": 24}}))
    for hour in (0, 1, 23, 24, 25):
        monkeypatch.setattr("flows.notices.send.reports_of", lambda _, hour=hour: hours.append(hour) or [])
        send_notices(workspace, at(hour))
    assert hours == [0, 24]


def test_a_silent_pipeline_is_one_alarm_and_one_all_clear(log: dict[str, Any], tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path, log, silent_hours=3)
    send_notices(workspace, T0)
    for minutes in range(15, 600, 15):
        check(workspace, at(minutes / 60))
    (alarm,) = texts(workspace)
    assert alarm == (
        "ALARM pipeline silent: nothing new was published since 2024-01-01 00:00 UTC, 3.2 h (limit 3 h). "
        "Look at `candleworks up` and its logs."
    )
    pointer = {"version": "v", "exchange_time": "2024-06-01T00:00:00+00:00"}
    workspace.store.replace("published/current.json", json.dumps(pointer).encode())
    for hour in (10, 11):
        check(workspace, at(hour))
    assert texts(workspace)[1:] == ["ALL CLEAR pipeline: it publishes again."]


def test_without_targets_nothing_is_recorded_and_a_target_that_returns_begins_anew(
    workspace: Workspace, log: dict[str, Any], tmp_path: Path
) -> None:
    nothing = workspace_at(tmp_path)
    assert send_notices(nothing, T0) == check(nothing, T0) == Delivered()
    assert workspace.store.list("notices") == []
    send_notices(workspace, T0)
    insert(workspace, "signals", [signal_row(0, 0), signal_row(1, 1)])
    send_notices(nothing, at(2))
    assert send_notices(workspace, at(3)).begun == ["log"]
    insert(workspace, "signals", [signal_row(2, 2)])
    send_notices(workspace, at(4))
    assert texts(workspace) == ["BTC/USDT 1h trend: 43,210.5 ▲▲ +0.050 (rises)"]


def test_the_list_has_the_state_of_each_message(workspace: Workspace, log: dict[str, Any], tmp_path: Path) -> None:
    hook = {"name": "hook", "kind": "webhook"}
    both = workspace_at(tmp_path, log, hook)
    send_notices(both, T0)
    outbox = Outbox(Store(both.store.url))
    outbox.start("hook", ())
    insert(workspace, "signals", [signal_row(0, 0), signal_row(1, 1)])
    send_notices(both, at(2))
    (event,) = [name for name in outbox.contents().events]

    def states(hours: float) -> dict[str, str]:
        return {record["target"]: record["state"] for record in notice_records(both, at(hours))}

    assert states(2) == {"log": "sent", "hook": "waiting"}
    outbox.begin("hook", event, 1, at(2), "text")
    assert states(2.1) == {"log": "sent", "hook": "sending"}
    assert states(2.5) == {"log": "sent", "hook": "unknown"}
    outbox.finish("hook", event, 1, "failed", {"detail": "it answers 500", "retry_at": at(3).isoformat()})
    assert states(2.5) == {"log": "sent", "hook": "retry"}
    outbox.begin("hook", event, 8, at(3), "text")
    outbox.finish("hook", event, 8, "failed", {"detail": "it answers 500", "retry_at": at(4).isoformat()})
    (record,) = [record for record in notice_records(both, at(3)) if record["target"] == "hook"]
    assert (record["state"], record["attempts"], record["detail"]) == ("failed", 8, "it answers 500")
    assert record["text"] == "BTC/USDT 1h trend: 43,210.5 ▲ +0.050 (rises)"
    send_notices(workspace_at(tmp_path, log), at(5))
    assert states(5) == {"log": "sent", "hook": "failed"}, "those of a removed target stay in the list"


def test_a_run_sends_notices_after_it_has_published(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows import pipeline  # noqa: PLC0415 - loads Prefect
    from flows.trading.live import Traded  # noqa: PLC0415

    calls: list[str] = []

    def step(name: str, result: Any) -> None:
        def call(*_: Any) -> Any:
            calls.append(name)
            return result

        monkeypatch.setattr(pipeline, name, call)

    results: dict[str, Any] = {
        "score": [], "forecast": [], "trade": Traded(1, 0), "load_results": None, "weigh": None,
        "transform_store": None,
        "publish_marts": ("version", True), "notify": Delivered(3, [], ["Notices to hook are not sent: no address."]),
    }  # fmt: skip
    for name, result in results.items():
        step(name, result)
    with TerminalReporter(Console(width=120)) as reporter:
        pipeline.run_serving(workspace, reporter)
    assert calls == list(results)
    output = capsys.readouterr().out
    assert "3 sent" in output
    assert "Warning: Notices to hook are not sent: no address." in output
