"""Several exchanges combined: each is loaded for itself, one may fail, and the bar is the formula over the others."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.ingestion.exchange import exchange_time_ms
from flows.ingestion.ingest import LoadReport, ingest_market
from flows.ingestion.validate import validate_stored
from flows.replay import Fault, RecordedCandles, ReplayClock, ReplayServer
from flows.simulation.preparation import SMALL_SPACE
from flows.warehouse.export import export_all
from flows.warehouse.marts import transform
from flows.warehouse.transform import write_sources
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError
from tests.flows.conftest import CommandLine, hours, installation_at
from tests.flows.shared_services import SharedServices

pytestmark = [
    pytest.mark.warehouse,
    pytest.mark.usefixtures("small_dbt", "loaded_small_dbt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # raised inside Great Expectations
]

PRICES = ["open", "high", "low", "close", "volume"]
#: What the three exchanges show of the same market: price and volume times these.
EXCHANGES = {"near": (1.0, 1.0), "far": (1.002, 0.3), "dear": (0.997, 0.05)}
N = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, recorded: Path) -> Path:
    """Candles of the three exchanges; the third calls the quote of its only market USD."""
    folder = tmp_path_factory.mktemp("exchanges")
    for name, (price, volume) in EXCHANGES.items():
        for pair in ("BTC-USDT", "ETH-USDT"):
            frame = pd.read_parquet(recorded / "binance" / pair / "1h.parquet")
            frame[PRICES] *= [price] * 4 + [volume]
            target = folder / name / pair
            target.mkdir(parents=True)
            frame.to_parquet(target / "1h.parquet")
    (folder / "dear" / "BTC-USDT").rename(folder / "dear" / "BTC-USD")
    shutil.rmtree(folder / "dear" / "ETH-USDT")
    return folder


@pytest.fixture
def servers(folder: Path) -> Iterator[dict[str, ReplayServer]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(ReplayServer(RecordedCandles(folder, name), ReplayClock(hours(N))))
            for name in EXCHANGES
        }


def _workspace(home: Path, urls: dict[str, str], **combine: object) -> Workspace:
    first, *others = urls
    sources: list[dict[str, object]] = [{"id": "binance", "name": name, "base_url": urls[name]} for name in others]
    for source in sources:
        source.update(
            retries=1, timeout_seconds=2.0, symbols={"BTC/USDT": "BTC/USD"} if source["name"] == "dear" else {}
        )
    return installation_at(
        home,
        urls[first],
        exchange={"name": first, "retries": 1},
        combine={"sources": sources, **combine},
        markets={"timeframes": ["1h"]},
        sweep={"search_spaces": [str(SMALL_SPACE)]},
    )


@pytest.fixture
def workspace(tmp_path: Path, servers: dict[str, ReplayServer]) -> Workspace:
    return _workspace(tmp_path / "home", {name: server.url for name, server in servers.items()})


def _ingest(workspace: Workspace) -> list[LoadReport]:
    """Every source of every market, one after the other, as the flow does side by side."""
    settings = workspace.settings
    now_ms = exchange_time_ms(settings)
    return [
        ingest_market(workspace, symbol, now_ms, source=source)
        for symbol in settings.markets.symbols
        for source in settings.sources(symbol)
    ]


def _query(workspace: Workspace, sql: str) -> pd.DataFrame:
    with workspace.warehouse.connect() as connection:
        return connection.execute(sql).df()


def _bars(workspace: Workspace, symbol: str) -> pd.DataFrame:
    columns = ", ".join(PRICES)
    return _query(
        workspace,
        f"select {columns} from marts.fct_candles where exchange = 'combined' and symbol = '{symbol}' "
        "and not is_gap order by open_time",
    )


def _assert_formula(workspace: Workspace, folder: Path, symbol: str, *names: str) -> None:
    frames = []
    for name in names:
        pair = "BTC-USD" if (name, symbol) == ("dear", "BTC/USDT") else symbol.replace("/", "-")
        frame = pd.read_parquet(folder / name / pair / "1h.parquet").head(N)
        frames.append(frame[PRICES].to_numpy().round(8))  # the exchange writes 8 decimals
    opened, high, low, close, volume = np.stack(frames).transpose(2, 0, 1)
    wanted = [opened.mean(axis=0), high.max(axis=0), low.min(axis=0), close.mean(axis=0), volume.sum(axis=0)]
    np.testing.assert_allclose(_bars(workspace, symbol).to_numpy(), np.stack(wanted, axis=1), rtol=1e-12)


def _outcomes(reports: list[LoadReport]) -> dict[tuple[str, str], str]:
    return {(report.symbol, report.exchange): report.status for report in reports}


def test_every_source_is_loaded_under_its_own_name_and_the_bar_is_the_formula_over_all(
    workspace: Workspace, folder: Path
) -> None:
    reports = _ingest(workspace)
    # dear has no ETH/USDT: that stops nothing
    failed = [report for report in reports if report.status != "ok"]
    assert [(report.symbol, report.exchange, report.status) for report in failed] == [("ETH/USDT", "dear", "failed")]
    assert "no market 'ETH/USDT'" in failed[0].message
    stored = _query(workspace, "select exchange, symbol, count(*) as n from raw.candles group by all order by all")
    keys = [("dear", "BTC/USD"), ("far", "BTC/USDT"), ("far", "ETH/USDT"), ("near", "BTC/USDT"), ("near", "ETH/USDT")]
    assert list(stored.itertuples(index=False, name=None)) == [(*key, N) for key in keys]
    transform(workspace, "candles")
    _assert_formula(workspace, folder, "BTC/USDT", "near", "far", "dear")
    _assert_formula(workspace, folder, "ETH/USDT", "near", "far")
    assert {str(series.exchange) for series in workspace.settings.series()} == {"combined"}
    datasets = export_all(workspace)
    assert sorted(datasets) == ["combined_BTC-USDT_1h", "combined_ETH-USDT_1h"]
    assert export_all(workspace, refresh_hours=1000.0) == datasets
    assert {report.market.exchange for report in validate_stored(workspace)} == set(EXCHANGES)
    # other sources: the datasets are of the past, and there are no candles yet for new ones
    with workspace.warehouse.connect() as connection:
        write_sources(connection, {("combined", symbol): [("near", symbol)] for symbol in ("BTC/USDT", "ETH/USDT")})
    assert export_all(workspace, refresh_hours=1000.0) == {}


def test_an_exchange_that_answers_500_is_on_record_and_the_bar_is_the_formula_over_the_others(
    workspace: Workspace, servers: dict[str, ReplayServer], folder: Path
) -> None:
    down = "near"  # the first one, whose clock still answers
    servers[down].faults.add(Fault(kind="server_error", count=1000))
    outcomes = _outcomes(_ingest(workspace))
    assert {key for key, status in outcomes.items() if status == "failed"} == {
        ("BTC/USDT", down),
        ("ETH/USDT", down),
        ("ETH/USDT", "dear"),
    }
    loads = _query(workspace, f"select symbol, status, message from raw.loads where exchange = '{down}'")
    assert loads["status"].tolist() == ["failed", "failed"]
    assert loads["message"].str.contains("ExchangeNotAvailable").all()
    transform(workspace, "candles")
    others = [name for name in EXCHANGES if name != down]
    _assert_formula(workspace, folder, "BTC/USDT", *others)
    transform(workspace, "store")
    health = _query(workspace, "select * from marts.fct_data_health where symbol = 'BTC/USDT'").iloc[0]
    assert (health["candles"], health["lag_candles"], health["freshness"]) == (N, 0, "fresh")
    assert health["last_load_status"] == "failed"
    assert health["last_load_message"].startswith(f"{down}: ")
    # it comes back: its candles are filled in
    servers[down].faults.clear()
    _ingest(workspace)
    transform(workspace, "candles")
    _assert_formula(workspace, folder, "BTC/USDT", *EXCHANGES)


def test_bars_that_too_few_sources_have_are_gaps(tmp_path: Path, servers: dict[str, ReplayServer]) -> None:
    urls = {name: server.url for name, server in servers.items()}
    workspace = _workspace(tmp_path / "home", urls, minimal_sources=3, name="three")
    _ingest(workspace)
    transform(workspace, "candles")
    found = _query(workspace, "select exchange, symbol, count(*) as n from marts.fct_candles group by all")
    assert list(found.itertuples(index=False, name=None)) == [("three", "BTC/USDT", N)]


def test_a_source_with_late_stamps_is_stopped_by_name(tmp_path: Path, folder: Path) -> None:
    late = tmp_path / "candles" / "late" / "BTC-USDT"
    late.mkdir(parents=True)
    frame = pd.read_parquet(folder / "far" / "BTC-USDT" / "1h.parquet")
    frame.assign(open_time=frame["open_time"] + pd.Timedelta("3h")).to_parquet(late / "1h.parquet")
    with (
        ReplayServer(RecordedCandles(folder, "near"), ReplayClock(hours(N))) as first,
        ReplayServer(RecordedCandles(tmp_path / "candles", "late"), ReplayClock(hours(N))) as second,
    ):
        workspace = _workspace(tmp_path / "home", {"near": first.url, "late": second.url})
        outcomes = {(r.symbol, r.exchange): r for r in _ingest(workspace)}
    assert outcomes["BTC/USDT", "near"].status == "ok"
    assert outcomes["BTC/USDT", "late"].status == "stopped"
    assert "shifted_stamps" in outcomes["BTC/USDT", "late"].message
    transform(workspace, "candles")
    _assert_formula(workspace, folder, "BTC/USDT", "near")


def test_of_real_exchanges_only_the_one_with_late_stamps_is_stopped(tmp_path: Path, candles_dir: Path) -> None:
    symbols = {"binance": "BTC/USDT", "coinbase": "BTC/USD", "bitstamp": "BTC/USD", "binance-shifted": "BTC/USDT"}
    begin, end = datetime(2020, 4, 1, tzinfo=UTC), datetime(2020, 7, 1, tzinfo=UTC)
    clock = ReplayClock(int(end.timestamp() * 1000))
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(ReplayServer(RecordedCandles(candles_dir, name), clock)) for name in symbols
        }
        sources = [
            {"id": "binance", "name": name, "base_url": server.url, "symbols": {"BTC/USDT": symbols[name]}}
            for name, server in servers.items()
        ]
        workspace = installation_at(
            tmp_path,
            servers["binance"].url,
            combine={"sources": sources[1:]},
            markets={"symbols": ["BTC/USDT"], "history_start": begin},
        )
        first = {report.exchange: report for report in _ingest(workspace)}
        clock.advance(6 * 3_600_000)
        second = {report.exchange: report for report in _ingest(workspace)}
    statuses = {"binance": "ok", "coinbase": "ok", "bitstamp": "ok", "binance-shifted": "stopped"}
    for reports in (first, second):
        assert {name: report.status for name, report in reports.items()} == statuses
    assert "shifted_stamps in 2,179" in first["binance-shifted"].message
    hours_served = (end - begin) // timedelta(hours=1)
    for name in ("binance", "coinbase", "bitstamp"):
        assert first[name].inserted + first[name].missing + first[name].quarantined >= hours_served
        assert second[name].inserted == 6


def test_an_exchange_that_ccxt_does_not_know_is_refused_before_any_is_asked(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        workspace = installation_at(tmp_path, url, combine={"sources": [{"id": "mtgox"}]})
        with pytest.raises(ConfigurationError, match="Unknown exchange 'mtgox' under"):
            exchange_time_ms(workspace.settings)


def test_the_command_goes_on_without_its_first_exchange_and_not_without_all(
    tmp_path: Path, servers: dict[str, ReplayServer], config: Path, shared_services: SharedServices
) -> None:
    settings = tmp_path / "candleworks.toml"
    gone = 'name = "gone"\nretries = 0\nbase_url = "http://127.0.0.1:9"'
    source = f'[[combine.sources]]\nid = "binance"\nname = "far"\nretries = 0\nbase_url = "{servers["far"].url}"\n'
    settings.write_text(config.read_text().replace("retries = 2", gone) + source)
    command_line = CommandLine(shared_services.attach(tmp_path / "home"), settings)
    done = command_line.run("ingest", "--json")
    assert done.returncode == 1, done.stderr
    assert {(row["symbol"], row["exchange"], row["status"], row["inserted"]) for row in json.loads(done.stdout)} == {
        ("BTC/USDT", "gone", "failed", 0),
        ("ETH/USDT", "gone", "failed", 0),
        ("BTC/USDT", "far", "ok", N),
        ("ETH/USDT", "far", "ok", N),
    }
    servers["far"].faults.add(Fault(kind="server_error", count=1000))
    nobody = command_line.read("ingest")
    assert nobody.returncode == 2
    assert "failed at the list of markets" in nobody.stderr.splitlines()[-1]
