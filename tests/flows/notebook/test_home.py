"""Opening a home and its filters, over a store that was written by hand."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path

import candleworks as cw
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from ml.data.dataset_pointers import CURRENT, current_datasets
from ml.data.datasets import write_dataset
from ml.errors import CandleDataError, CaseError, DatasetError, StoreError
from ml.forecasting.published import POINTER, publish_version
from ml.series import Series
from ml.store import SCHEMA_PATH, Store
from tests.flows.forecasting.test_seal_commands import publish
from tests.synthetic import FEATURES, HOUR_MS, SERIES, make_case, make_dataset

AT = datetime(2024, 1, 2, 3)  # noqa: DTZ001 - as the snapshot has times
MARKETS = (("BTC/USDT", "1h"), ("BTC/USDT", "1d"), ("ETH/USDT", "1h"))
DATASET = make_dataset(1200)


def _row(symbol: str, timeframe: str, **more: object) -> dict[str, object]:
    return {"exchange": "test", "symbol": symbol, "timeframe": timeframe, **more}


def _candles(first: int, last: int) -> list[dict[str, object]]:
    """Rows of the snapshot for some rows of the dataset and beyond; the volume says where a row comes from."""
    times = [int(DATASET.open_time_ms[0]) + row * HOUR_MS for row in range(first, last)]
    prices = dict.fromkeys(("open", "high", "low", "close"), 5.0)
    stamps = [pd.Timestamp(time, unit="ms").to_pydatetime() for time in times]
    return [
        _row("BTC/USDT", "1h", open_time=stamp, **prices, volume=7.0, is_gap=number == 2)
        for number, stamp in enumerate(stamps)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    health = [_row(*market, last_open_time=AT) for market in MARKETS]
    scores = [_row("BTC/USDT", "1h", target_open_time=AT, error_pct=0.5, revision=1, covered=None)]
    scores.insert(0, scores[0] | {"target_open_time": AT.replace(day=5), "covered": True})
    publish(tmp_path, data_health=health, scores=scores, candles=_candles(1000, 1210), results=[])
    store = Store(tmp_path / "store")
    name = write_dataset(store, DATASET, "test")
    store.replace(f"{CURRENT}/{SERIES.slug}.json", json.dumps({"dataset_id": name}).encode())
    return tmp_path


@pytest.fixture
def home(folder: Path) -> cw.Home:
    return cw.open(folder)


def test_a_folder_that_is_not_there_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no home .*nowhere\. .*`candleworks demo --home .*nowhere`"):
        cw.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_home_without_a_snapshot_or_of_another_version_is_refused(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StoreError, match=r"Nothing has been published in .* yet\. Run `candleworks demo`"):
        cw.open(empty)
    assert not list(empty.iterdir())
    store = Store(folder / "store")
    pointer = json.loads(store.read(POINTER))
    assert pointer["layout"] == 1
    del pointer["layout"], pointer["digest"]  # as earlier versions wrote it
    store.replace(POINTER, json.dumps(pointer).encode())
    assert len(cw.open(folder).scores()) == 2
    store.replace(SCHEMA_PATH, b'{"schema_version": 9}')
    with pytest.raises(StoreError, match=r"has schema 9, this program has 2\. Use the version"):
        cw.open(folder)
    store.replace(SCHEMA_PATH, b'{"schema_version": 1}')
    with pytest.raises(StoreError, match=r"has schema 1, this program has 2\. Run `candleworks results`"):
        cw.open(folder)
    # Its remedy.
    assert CliRunner().invoke(application, ["results", "--home", str(folder)]).exit_code == 0
    assert len(cw.open(folder).scores()) == 2


def test_the_settings_may_name_another_store(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    config = tmp_path / "other.toml"
    config.write_text(f'[storage]\nurl = "{folder / "store"}"\n', "utf-8")
    assert len(cw.open(tmp_path / "elsewhere", config).scores()) == 2


def test_what_is_published_is_typed_in_order_of_time_and_in_utc(home: cw.Home) -> None:
    scores = home.scores()
    assert [str(time) for time in scores.index] == ["2024-01-02 03:00:00+00:00", "2024-01-05 03:00:00+00:00"]
    kinds = {name: str(kind) for name, kind in scores.dtypes.items()}
    assert kinds == {
        "exchange": "str", "symbol": "str", "timeframe": "str", "error_pct": "float64", "revision": "Int64",
        "covered": "boolean",
    }  # fmt: skip
    assert scores["covered"].isna().tolist() == [True, False]
    assert "published 2024-01-02T03:00:00+00:00" in repr(home)


@pytest.mark.parametrize("method", ["candles", "labels", "scores"])
@pytest.mark.parametrize("wrong", [{"symbol": "BTC/USD"}, {"timeframe": "5m"}, {"exchange": "nyse"}])
def test_a_filter_that_matches_nothing_names_the_values_that_there_are(
    home: cw.Home, method: str, wrong: dict[str, str]
) -> None:
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(CandleDataError) as raised:
        getattr(home, method)(**wrong)
    assert f"No series has {name}={value!r}. There are: symbol BTC/USDT" in str(raised.value)
    assert "timeframe 1h" in str(raised.value) and "exchange test" in str(raised.value)


def test_a_series_without_a_row_of_a_kind_has_an_empty_frame_and_a_pair_that_does_not_exist_is_an_error(
    home: cw.Home,
) -> None:
    empty = home.scores("ETH/USDT")
    assert len(empty) == 0 and list(empty.columns) == list(home.scores().columns)
    with pytest.raises(CandleDataError, match="No series has symbol='ETH/USDT', timeframe='1d'"):
        home.scores("ETH/USDT", "1d")


def test_published_candles_go_over_those_of_the_export_and_on_from_them(home: cw.Home) -> None:
    candles = home.candles()
    # 1,000 exported ones before the snapshot begins, then its 210 but the gap in its third row
    assert len(candles) == 1000 + 210 - 1
    assert candles.index.is_monotonic_increasing and candles.index.is_unique
    assert candles["volume"].tolist() == [1.0] * 1000 + [7.0] * 209
    np.testing.assert_array_equal(candles["close"].to_numpy()[:1000], DATASET.candles[:1000, 3])


def test_a_home_without_any_candle_says_how_to_get_some(tmp_path: Path) -> None:
    publish(tmp_path, candles=_candles(0, 1))
    store = Store(tmp_path / "store")
    store.delete(POINTER)
    frame = pd.DataFrame(_candles(0, 1)).iloc[:0]
    buffer = io.BytesIO()
    frame.astype({"open_time": "datetime64[us]"}).to_parquet(buffer)
    publish_version(store, "v2", {"candles": buffer.getvalue()}, {})
    with pytest.raises(
        CandleDataError, match=r"no candle yet\. Run `candleworks ingest`, `transform` and then `publish`"
    ):
        cw.open(tmp_path).candles()


def test_candles_end_with_the_export_where_the_snapshot_would_leave_a_hole(folder: Path) -> None:
    store = Store(folder / "store")
    store.delete(POINTER)
    publish(folder, candles=_candles(1201, 1300))
    with pytest.warns(UserWarning, match=r"BTC/USDT 1h end with its export, at .* Run `candleworks export`") as warned:
        assert len(cw.open(folder).candles()) == 1200
    assert warned[0].filename == __file__
    store.delete(POINTER)
    publish(folder, candles=_candles(1200, 1300))
    assert len(cw.open(folder).candles()) == 1300 - 1


def test_labels_are_those_of_the_export_and_an_unknown_target_names_the_known_ones(home: cw.Home) -> None:
    labels = home.labels("BTC/USDT", "1h")
    np.testing.assert_array_equal(labels[["label_high", "label_low", "label_close"]].to_numpy(), DATASET.labels)
    with pytest.raises(CaseError, match=r"has no target 'trade'\. There are: next_candle"):
        home.labels(target="trade")


def test_a_case_that_cannot_be_evaluated_is_refused_in_one_line(home: cw.Home) -> None:
    good = make_case().content()
    for case, message in (
        ({**good, "model": "oracle"}, "This is no test case: Unknown model 'oracle'"),
        ({**good, "depth": 3}, "This is no test case: depth: "),
        ("{}", "This is no test case: "),
        ("no json", "This is no test case: "),
        ({**good, "features": ["rsi_14"]}, "lacks rsi_14"),
    ):
        with pytest.raises(CaseError) as raised:
            home.evaluate(case)
        assert message in str(raised.value) and "\n" not in str(raised.value)
    other = make_case(series=Series(exchange="test", symbol="LTC/USDT", timeframe="1h"))
    with pytest.raises(
        DatasetError, match=r"LTC/USDT 1h of test has no data set in .*; these have: BTC/USDT 1h of test"
    ):
        home.evaluate(other)
    (dataset_id,) = current_datasets(Store(home.folder / "store")).values()
    with pytest.raises(CaseError, match=rf"The case is about LTC/USDT 1h, data set {dataset_id} about BTC/USDT 1h"):
        home.evaluate(other, dataset_id)


def test_a_case_is_evaluated_from_an_object_a_dict_and_json(home: cw.Home) -> None:
    case = make_case()
    frames = [home.evaluate(one) for one in (case, case.content(), json.dumps(case.content()))]
    assert len({frame["skill"].iloc[0] for frame in frames}) == 1
    assert frames[0]["n_features"].iloc[0] == len(FEATURES) and frames[0].index.tz is not None


def test_a_home_where_nothing_was_exported_says_so(tmp_path: Path) -> None:
    publish(tmp_path, candles=_candles(0, 3))
    home = cw.open(tmp_path)
    with pytest.warns(UserWarning, match=r"BTC/USDT 1h was never exported: only its latest 2 candles"):
        assert len(home.candles()) == 2
    for read in (home.features, home.labels):
        with pytest.raises(DatasetError, match=r"Nothing has been exported to .* yet\. Run `candleworks export`"):
            read()
