"""Ingest: exactly what is missing, revisions kept, bad rows apart, one market's failure its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from flows.ingestion.ingest import LoadReport, ingest_market
from flows.replay import Fault, RecordedCandles, ReplayClock, ReplayServer
from flows.workspace.workspace import Workspace
from tests.flows.conftest import SYMBOLS, hours, installation_at

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")


@pytest.fixture
def server(recorded: Path) -> Iterator[ReplayServer]:
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(2500) + 1_800_000)) as running:
        yield running


@pytest.fixture
def workspace(tmp_path: Path, server: ReplayServer) -> Workspace:
    return installation_at(tmp_path, server.url)


def _load(workspace: Workspace, server: ReplayServer, symbol: str = SYMBOLS[0]) -> LoadReport:
    return ingest_market(workspace, symbol, server.clock.now_ms())


def _query(workspace: Workspace, sql: str) -> pd.DataFrame:
    with workspace.warehouse.connect() as connection:
        return connection.execute(sql).df()


def test_2500_candles_of_two_markets_are_stored_once_each(workspace: Workspace, server: ReplayServer) -> None:
    for symbol in SYMBOLS:
        assert _load(workspace, server, symbol).inserted == 2500
    counts = _query(
        workspace,
        "select symbol, count(*) as n, count(distinct open_time) as different, max(epoch_ms(open_time)) as last "
        "from raw.candles group by symbol",
    )
    assert counts["n"].tolist() == counts["different"].tolist() == [2500, 2500]
    assert counts["last"].tolist() == [hours(2499)] * 2  # candle 2500 is unfinished and absent


def test_a_second_run_asks_only_for_what_is_missing_and_the_overlap(workspace: Workspace, server: ReplayServer) -> None:
    _load(workspace, server)
    server.clock.advance(3 * 3_600_000)
    report = _load(workspace, server)
    assert (report.received, report.inserted, report.revised) == (24 + 1 + 3, 3, 0)
    assert _load(workspace, server).inserted == 0


def test_overlap_rows_revised_by_the_exchange_are_kept_beside_the_old_ones(
    workspace: Workspace, server: ReplayServer
) -> None:
    _load(workspace, server)
    server.faults.add(Fault(kind="revise", start_ms=hours(2490), end_ms=hours(2491), factor=1.01))
    report = _load(workspace, server)
    assert (report.inserted, report.revised) == (0, 1)
    rows = _query(
        workspace,
        f"select close, load_id from raw.candles where epoch_ms(open_time) = {hours(2490)} order by load_id",
    )
    assert rows["load_id"].tolist() == [1, 2]
    assert rows["close"].iloc[1] == pytest.approx(rows["close"].iloc[0] * 1.01, rel=1e-6)
    assert _load(workspace, server).revised == 0  # the same revision is not a second one


def test_a_market_whose_exchange_fails_is_reported_and_what_was_stored_stays(
    workspace: Workspace, server: ReplayServer
) -> None:
    _load(workspace, server)
    server.faults.add(Fault(kind="server_error", symbol="BTC/USDT", count=100))
    failed = _load(workspace, server, "BTC/USDT")
    other = _load(workspace, server, "ETH/USDT")
    assert failed.status == "failed"
    assert "ExchangeNotAvailable" in failed.message
    assert (other.status, other.inserted) == ("ok", 2500)
    loads = _query(workspace, "select symbol, status from raw.loads order by load_id")
    assert loads["status"].tolist() == ["ok", "failed", "ok"]
    assert len(_query(workspace, "select * from raw.candles where symbol = 'BTC/USDT'")) == 2500


def test_a_bad_row_is_quarantined_with_its_reason_and_the_rest_is_stored(tmp_path: Path, recorded: Path) -> None:
    folder = tmp_path / "candles" / "binance" / "BTC-USDT"
    folder.mkdir(parents=True)
    frame = pd.read_parquet(recorded / "binance" / "BTC-USDT" / "1h.parquet").head(200)
    frame.loc[50, "high"] = frame.loc[50, "low"] * 0.9
    frame.to_parquet(folder / "1h.parquet")
    with ReplayServer(RecordedCandles(tmp_path / "candles", "binance"), ReplayClock(hours(200))) as server:
        workspace = installation_at(tmp_path / "home", server.url, markets={"symbols": ["BTC/USDT"]})
        report = _load(workspace, server)
        again = _load(workspace, server)
    assert (report.status, report.inserted, report.quarantined, report.missing) == ("ok", 199, 1, 1)
    assert again.inserted == 0
    quarantined = _query(workspace, "select epoch_ms(open_time) as t, rule from raw.quarantine")
    assert quarantined["t"].tolist() == [hours(50)]
    assert "high" in quarantined["rule"].iloc[0]
