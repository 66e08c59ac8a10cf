"""A notebook over the home of the demo, while another process holds the warehouse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import candleworks as cw
import duckdb
import numpy as np
import pandas as pd
import pytest

from flows.warehouse.transform import feature_catalogue
from ml.execution.result_schema import METRICS
from ml.execution.results import read_results
from ml.forecasting.published import POINTER, current_version
from ml.store import Store
from ml.timeframes import milliseconds
from tests.flows.conftest import CommandLine
from tests.flows.shared_services import SharedServices
from tests.installed import Installed
from tests.test_readme import recipe

pytestmark = pytest.mark.e2e

FRAMES = ("candles", "features", "labels", "results", "leaderboard", "forecasts", "scores", "verdicts")
_HOLD = "import sys, duckdb; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def _mart(home: Path, sql: str) -> pd.DataFrame:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).df()


@pytest.fixture(scope="module")
def features_in_warehouse(demo: tuple[CommandLine, str]) -> pd.DataFrame:
    """All features of a series as dbt made them, read before the warehouse is held."""
    return _mart(
        demo[0].home,
        "select * from marts.fct_features where symbol = 'ETH/USDT' and timeframe = '4h' order by open_time",
    )


@pytest.fixture(scope="module")
def home(demo: tuple[CommandLine, str], features_in_warehouse: pd.DataFrame) -> Iterator[cw.Home]:
    """The home, opened while another process has the warehouse open as a flow has."""
    warehouse = str(demo[0].home / "warehouse.duckdb")
    command = [sys.executable, "-c", _HOLD, warehouse]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(duckdb.IOException, match="Could not set lock"):
            duckdb.connect(warehouse, read_only=True)
        yield cw.open(demo[0].home, demo[0].config)
        holder.stdin.close()


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_is_typed_and_in_utc(home: cw.Home, name: str) -> None:
    frame = getattr(home, name)()
    assert len(frame) > 0
    assert list(frame.columns[:3]) == ["exchange", "symbol", "timeframe"]
    assert str(frame.index.dtype) == "datetime64[us, UTC]" and frame.index.name
    assert not [column for column, kind in frame.dtypes.items() if kind == np.dtype(object)]
    assert not [
        column for column, kind in frame.dtypes.items() if str(kind).startswith("datetime") and "UTC" not in str(kind)
    ]
    one = getattr(home, name)(symbol="BTC/USDT", timeframe="1h", exchange="binance")
    rows = (frame["symbol"] == "BTC/USDT") & (frame["timeframe"] == "1h")
    pd.testing.assert_frame_equal(one, frame[rows])


def test_features_are_all_columns_as_dbt_made_them(
    home: cw.Home, demo: tuple[CommandLine, str], features_in_warehouse: pd.DataFrame
) -> None:
    columns = [entry["column"] for entry in feature_catalogue(demo[0].home / "dbt")]
    features = home.features("ETH/USDT", "4h")
    assert list(features.columns[3:]) == columns and len(columns) > 300
    made = features_in_warehouse.set_index(features_in_warehouse["open_time"].dt.tz_localize("UTC").dt.as_unit("us"))
    made = made.loc[features.index]
    assert len(made) == len(features) >= len(features_in_warehouse) - 2
    np.testing.assert_array_equal(features[columns].to_numpy(), made[columns].to_numpy(np.float32, na_value=np.nan))


def test_candles_and_labels_agree_and_candles_reach_the_last_published_one(home: cw.Home) -> None:
    candles, labels = home.candles("BTC/USDT", "1h"), home.labels("BTC/USDT", "1h")
    hours = pd.date_range("2024-01-01", "2024-05-09 23:00", freq="h", tz="UTC")
    assert list(candles.index) == list(hours)
    following = np.log(candles[["high", "low", "close"]].shift(-1).div(candles["close"], axis=0))
    known = labels[["label_high", "label_low", "label_close"]].dropna()
    assert len(known) > len(candles) - 10
    np.testing.assert_allclose(known, following.loc[known.index], rtol=0, atol=1e-12)


def test_a_model_predicts_what_the_platform_sealed(home: cw.Home) -> None:
    sealed = home.forecasts().dropna(subset="model_id")
    compared = 0
    for target_time, forecast in sealed.iterrows():
        model = home.model(forecast["model_id"][:10])
        row = target_time - pd.Timedelta(milliseconds(forecast["timeframe"]), "ms")
        features = home.features(forecast["symbol"], forecast["timeframe"], columns=model.columns)[model.columns]
        if row not in features.index:
            continue  # a candle that closed after the export
        predicted = model.predict(features.dropna())
        assert predicted.loc[row].to_list() == pytest.approx(list(forecast[["high", "low", "close"]]), rel=1e-12)
        assert (predicted["high"] >= predicted["close"]).all() and (predicted["low"] <= predicted["close"]).all()
        compared += 1
    assert compared


def test_an_evaluation_gives_the_metrics_of_the_sweep_and_is_kept_nowhere(
    home: cw.Home, demo: tuple[CommandLine, str]
) -> None:
    store = Store(demo[0].home / "store")
    before = store.list("")
    tried = home.results(symbol="ETH/USDT", timeframe="4h")
    for _, result in tried.groupby("model").head(1).iterrows():
        again = home.evaluate(result["case_json"], result["dataset_id"])
        (stored,) = [row for row in read_results(store, result["dataset_id"]) if row["case_key"] == result["case_key"]]
        assert again["case_key"].iloc[0] == result["case_key"]
        for name in METRICS:
            expected = np.nan if stored[name] is None else stored[name]
            assert again[name].iloc[0] == pytest.approx(expected, rel=1e-12, nan_ok=True), name
            assert again[name].iloc[0] == pytest.approx(result[name], rel=1e-12, nan_ok=True), name
        assert again["baseline"].iloc[0] == stored["baseline"]
    assert store.list("") == before


def test_the_recipe_for_a_notebook(
    home: cw.Home, demo: tuple[CommandLine, str], installed: Installed, tmp_path: Path
) -> None:
    """As it is written, in the environment of the wheel, beside a home of the default name."""
    (tmp_path / ".candleworks").symlink_to(demo[0].home)
    told = "print(again.skill.iloc[0] - best.skill, len(prices), list(prices.columns), cw.__file__)\n"
    done = installed.run("python", "-c", recipe("notebook") + told, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    difference, rows, columns = done.stdout.split(" ", 2)
    assert float(difference) == pytest.approx(0, abs=1e-12) and int(rows) > 100
    assert columns.startswith("['high', 'low', 'close']") and str(installed.site_packages) in columns


def _damage(store: Store, path: str, content: bytes | None) -> None:
    """Delete a file, or write another content."""
    if content is None:
        store.delete(path)
    else:
        store.replace(path, content)


def test_what_an_error_tells_to_do_helps(
    demo: tuple[CommandLine, str], home: cw.Home, tmp_path: Path, shared_services: SharedServices, loaded_dbt: None
) -> None:
    """In a copy of the home: damaged, refused, put right by the commands of the message."""
    copy = tmp_path / "home"
    shutil.copytree(demo[0].home, copy)
    command_line = CommandLine(shared_services.attach(copy), demo[0].config)
    store = Store(copy / "store")
    # The first of the two commands, once for all; a new export would change the version, which has analyses of the old.
    for command in ("transform", "export", "publish"):
        assert command_line.read(command).returncode == 0
    pointer = current_version(store)
    assert pointer is not None
    scores = f"published/{pointer['version']}/scores.parquet"
    feature_pointers = store.list("features/current")
    assert len(feature_pointers) == 4
    unreadable = "The table scores of the snapshot in .* cannot be read .*`candleworks publish`"
    of_another = json.dumps(pointer | {"layout": 7}).encode()
    faults: list[tuple[list[str], bytes | None, str, str]] = [
        (feature_pointers, None, "has no table of all features in .* yet. Run `candleworks export`", "export"),
        ([scores], b"no parquet", unreadable, "publish"),
        ([scores], None, unreadable, "publish"),
        ([POINTER], of_another, "has layout 7, this program reads 1.*`candleworks publish`", "publish"),
        ([POINTER], None, "Nothing has been published in .* yet. .*`candleworks publish`", "publish"),
    ]
    for paths, content, message, remedy in faults:
        for path in paths:
            _damage(store, path, content)
        with pytest.raises(cw.CandleworksError, match=message):
            _look(copy, demo[0].config)
        done = command_line.read(remedy)
        assert done.returncode == 0, done.stderr
        _look(copy, demo[0].config)
    pd.testing.assert_frame_equal(cw.open(copy, demo[0].config).scores(), home.scores())


def _look(home: Path, config: Path) -> None:
    opened = cw.open(home, config)
    opened.scores()
    opened.features("BTC/USDT", "4h")
