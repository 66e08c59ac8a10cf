"""A market without a trade in one hour a day, from the exchange to datasets: it has its days, features and rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from flows.forecasting.forecast import forecast_all
from flows.ingestion.ingest import ingest_market
from flows.ingestion.outages import withdraw_outages
from flows.settings import load_settings
from flows.simulation.preparation import SMALL_SPACE
from flows.warehouse.export import export_all
from flows.warehouse.marts import transform
from flows.workspace.workspace import Workspace
from ml.data.dataset_pointers import current_datasets
from ml.data.datasets import read_dataset, read_manifest
from ml.data.targets import NEXT_CANDLE, next_candle_labels
from ml.forecasting.young_markets import ALL_MARKETS
from ml.series import Series
from ml.timeframes import DAY_MS, utc_ms
from tests.fakes import BinanceFake
from tests.flows.ingestion.walks import walk

pytestmark = pytest.mark.warehouse

BUSY, THIN = "BTC/USDT", "THIN/USDT"
DAYS = 120
NOW_MS = utc_ms("2024-01-01") + DAYS * DAY_MS


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, small_dbt: None, loaded_small_dbt: None) -> Iterator[Workspace]:
    """Both markets loaded, transformed and exported: the same walk, but at 04:00 nobody trades the thin one."""
    frame = walk("2024-01-01", 24 * DAYS)
    thin = frame.copy()
    quiet = thin["open_time"].dt.hour == 4
    thin["close"] = thin["close"].where(~quiet).ffill()
    thin["open"] = thin["close"].shift().fillna(thin["open"])
    thin["high"] = thin[["open", "high", "close"]].max(axis=1).where(~quiet, thin["close"])
    thin["low"] = thin[["open", "low", "close"]].min(axis=1).where(~quiet, thin["close"])
    thin["volume"] = thin["volume"].where(~quiet, 0.0)
    with BinanceFake({BUSY: frame, THIN: thin}, NOW_MS) as fake:
        settings = {
            "exchange": {"base_url": fake.url},
            "markets": {"symbols": [BUSY, THIN], "timeframes": ["1h", "1d"], "history_start": "2024-01-01"},
            "sweep": {"search_spaces": [str(SMALL_SPACE)]},
        }
        workspace = Workspace(tmp_path_factory.mktemp("quiet"), load_settings(None, settings))
        for symbol in (BUSY, THIN):
            assert ingest_market(workspace, symbol, NOW_MS).status == "ok"
        assert withdraw_outages(workspace, NOW_MS) == {}
        transform(workspace, "candles")
        export_all(workspace)
        yield workspace


def rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    with workspace.warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def test_the_quiet_market_has_all_its_hours_and_days(built: Workspace) -> None:
    counted = "select symbol, timeframe, count(*) filter (not is_gap) from marts.fct_candles group by all order by all"
    assert rows(built, counted) == [
        (symbol, timeframe, n) for symbol in (BUSY, THIN) for timeframe, n in (("1d", DAYS), ("1h", 24 * DAYS))
    ]


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
def test_each_feature_that_the_busy_market_knows_is_known_of_it(built: Workspace, timeframe: str) -> None:
    described = rows(built, "describe marts.fct_features")
    columns = [name for name, kind, *_ in described if kind in ("DOUBLE", "FLOAT")]
    known = ", ".join(f'count("{name}")' for name in columns)
    counts = {
        symbol: rows(
            built, f"select {known} from marts.fct_features where symbol = '{symbol}' and timeframe = '{timeframe}'"
        )[0]
        for symbol in (BUSY, THIN)
    }
    lost = [name for name, busy, thin in zip(columns, counts[BUSY], counts[THIN], strict=True) if busy and not thin]
    assert lost == []


def test_the_quiet_market_has_a_dataset_as_long_as_that_of_the_busy_market(built: Workspace) -> None:
    newest = export_all(built, refresh_hours=1.0)
    ids = [newest[Series(exchange="binance", symbol=symbol, timeframe="1h").slug] for symbol in (BUSY, THIN)]
    busy, thin = (len(read_dataset(built.store, one).open_time_ms) for one in ids)
    assert thin == busy > 24 * DAYS / 2


def test_each_dataset_names_the_other_market_that_was_exported_with_it(built: Workspace) -> None:
    datasets = current_datasets(built.store)
    for series, dataset_id in datasets.items():
        other = Series(exchange="binance", symbol=THIN if series.symbol == BUSY else BUSY, timeframe=series.timeframe)
        assert read_manifest(built.store, dataset_id)["panel"] == {other.symbol: datasets[other]}
        assert read_dataset(built.store, dataset_id).panel[other.symbol].series == other


def test_the_labels_of_a_history_without_lists_are_those_of_the_mart(built: Workspace) -> None:
    for dataset_id in current_datasets(built.store).values():
        dataset = read_dataset(built.store, dataset_id)
        here = next_candle_labels(dataset.candles, dataset.open_time_ms, dataset.timeframe_ms)
        np.testing.assert_allclose(here, dataset.labels_of(NEXT_CANDLE), rtol=0, atol=1e-12)


def test_an_export_that_dies_before_the_manifests_is_done_again_whole(
    built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    before = current_datasets(built.store)
    monkeypatch.setattr("flows.warehouse.export.write_manifest", killed)
    monkeypatch.setattr("flows.warehouse.export._fresh_dataset", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        export_all(built)
    assert current_datasets(built.store) == before
    monkeypatch.undo()
    assert export_all(built) == {series.slug: dataset_id for series, dataset_id in before.items()}


def test_a_market_without_a_past_is_forecast_from_the_other_ones(
    built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.forecasting.forecast.YOUNG", 24 * DAYS + 1)
    made = {(one["symbol"], one["timeframe"]): one for one in forecast_all(built)}
    for symbol in (BUSY, THIN):
        assert made[symbol, "1h"]["baseline"] == ALL_MARKETS
        assert ALL_MARKETS in made[symbol, "1h"]["rivals"]
        assert made[symbol, "1h"]["reason"].startswith("the market has 2,880 candles and no case of its own was")
        # The other market has too few days to learn from.
        assert made[symbol, "1d"]["baseline"] == "ewma_range"
