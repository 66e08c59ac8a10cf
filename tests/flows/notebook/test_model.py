"""Models that predict from frames: the same as the ensemble on the dataset's own windows, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import candleworks as cw
import numpy as np
import pandas as pd
import pytest

from ml.data.dataset_pointers import CURRENT
from ml.data.datasets import CANDLE_COLUMNS, write_dataset
from ml.data.targets import to_prices
from ml.errors import CandleDataError, StoreError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.evaluation.forecaster import Ensemble
from ml.evaluation.preparation import PreparedCase
from ml.forecasting.model_store import save_model
from ml.metrics.conformal import BandScores
from ml.store import Store
from tests.flows.forecasting.test_seal_commands import publish
from tests.synthetic import FEATURES, SERIES, make_case, make_dataset

DATASET = make_dataset(1500)
INDEX = pd.DatetimeIndex(pd.to_datetime(DATASET.open_time_ms, unit="ms", utc=True), name="open_time").as_unit("us")
FRAME = pd.DataFrame(np.asarray(DATASET.features), index=INDEX, columns=list(FEATURES)).dropna()
#: One value of the eighth row.
UNKNOWN = (np.arange(len(FRAME)) == 7)[:, None] & (np.arange(3) == 1)


@pytest.fixture(scope="module")
def fitted() -> tuple[PreparedCase, Ensemble]:
    return fit_and_evaluate(make_case(lags=3, seeds=(0, 1)), DATASET)[1:]


@pytest.fixture
def home(tmp_path: Path, fitted: tuple[PreparedCase, Ensemble]) -> cw.Home:
    newest = dict(zip(CANDLE_COLUMNS, map(float, DATASET.candles[-1]), strict=True))
    opened = INDEX[-1].tz_localize(None).to_pydatetime()
    publish(tmp_path, candles=[{**SERIES.model_dump(), "open_time": opened, "is_gap": False, **newest}])
    store = Store(tmp_path / "store")
    name = write_dataset(store, DATASET, "test")
    store.replace(f"{CURRENT}/{SERIES.slug}.json", json.dumps({"dataset_id": name}).encode())
    for identity in ("abc1", "abd2", "abd2f"):
        save_model(store, identity, fitted[0].case, fitted[1], BandScores(np.zeros(3), None), {"kind": "frozen"})
    return cw.open(tmp_path)


@pytest.fixture
def model(home: cw.Home) -> cw.Model:
    return home.model("abc")


def test_a_frame_gives_what_the_committee_gives_on_the_windows_of_the_dataset(
    model: cw.Model, fitted: tuple[PreparedCase, Ensemble]
) -> None:
    prepared, ensemble = fitted
    rows = prepared.rows("validation")
    expected = to_prices(ensemble.predict(prepared.windows_at(rows)), DATASET.candles[rows, 3])
    predicted = model.predict(FRAME[reversed(model.columns)])
    assert list(predicted.columns) == ["high", "low", "close"]
    assert len(predicted) == len(FRAME) - 2
    np.testing.assert_allclose(predicted.loc[INDEX[rows]], expected, rtol=1e-12)
    assert model.columns == list(fitted[0].case.features) and model.card["kind"] == "frozen"
    assert "abc1: ridge of BTC/USDT 1h, 3 columns, 3 lags" in repr(model)


def test_no_window_goes_over_a_gap(model: cw.Model) -> None:
    holes = FRAME.drop(FRAME.index[[10, 12]])
    predicted = model.predict(holes)
    # two rows at the beginning, row 11 alone, and two behind the second hole
    assert list(predicted.index) == [*FRAME.index[2:10], *FRAME.index[15:]]
    pd.testing.assert_frame_equal(predicted, model.predict(FRAME).loc[predicted.index], rtol=1e-12)


def test_closes_may_be_given_and_are_needed_where_the_home_has_no_candle(model: cw.Model) -> None:
    later = FRAME.set_index(FRAME.index + pd.Timedelta(days=3650))
    with pytest.raises(CandleDataError, match=r"BTC/USDT 1h has no candle for 1475 rows, the first at .*close=\.\.\."):
        model.predict(later)
    doubled = model.predict(later, close=pd.Series(2 * DATASET.candles[:, 3], index=INDEX + pd.Timedelta(days=3650)))
    np.testing.assert_allclose(doubled, 2 * model.predict(FRAME), rtol=1e-12)


@pytest.mark.parametrize(
    ("frame", "message", "remedy"),
    [
        (FRAME.drop(columns="range_6"), "this frame lacks range_6", None),
        (
            FRAME.assign(symbol="BTC/USDT", rsi=1.0),
            "also has symbol, rsi",
            lambda frame: frame[sorted(FEATURES)],
        ),
        (FRAME.tz_localize(None), "has the time zone None, not UTC", lambda frame: frame.tz_localize("UTC")),
        (FRAME.tz_convert("Asia/Tokyo"), "has the time zone Asia/Tokyo", lambda frame: frame.tz_convert("UTC")),
        (FRAME[::-1], "is not ascending", lambda frame: frame.sort_index()),
        (FRAME.loc[FRAME.index.repeat(2)], "has a time twice", lambda frame: frame[~frame.index.duplicated()]),
        (FRAME.reset_index(drop=True), "holds int64, not times", None),
        (FRAME.mask(UNKNOWN), "1 of 1477 rows have values", lambda frame: frame.dropna()),
        (FRAME.head(2), "needs 3 rows, one every 1h; at most 2 of the 2 rows", None),
        (FRAME[::2], "at most 1 of the 739 rows", None),
        (FRAME.head(0), "at most 0 of the 0 rows", None),
    ],
    ids=["lacks", "others", "naive", "zone", "descending", "twice", "numbers", "nan", "short", "apart", "empty"],
)
def test_a_frame_of_another_kind_is_refused_and_the_remedy_helps(
    model: cw.Model, frame: pd.DataFrame, message: str, remedy: object
) -> None:
    with pytest.raises(CandleDataError) as raised:
        model.predict(frame)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    if callable(remedy):
        assert len(model.predict(remedy(frame))) > 1000


def test_a_model_is_found_by_the_beginning_of_its_id(home: cw.Home) -> None:
    assert home.model("abd2").id == "abd2"  # whole, though another one begins so
    assert home.model("abd2f").id == "abd2f"
    with pytest.raises(StoreError, match="3 models begin with 'ab': abc1, abd2, abd2f"):
        home.model("ab")
    with pytest.raises(StoreError, match=r"No model x in .*; there are: abc1, abd2, abd2f\. `candleworks models`"):
        home.model("x")
