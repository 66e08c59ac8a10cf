"""The Open Inference Protocol over a champion of tables, and bad requests to all predictions; no TensorFlow."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from api_harness import ApiStore, ChartsByHand, make_application, serving

from ml.evaluation.forecaster import Ensemble, fit_ensemble
from ml.evaluation.preparation import prepare
from ml.forecasting.model_store import save_model
from ml.metrics.conformal import BandScores
from tests.synthetic import FEATURES, make_case, make_dataset

DATASET = make_dataset(1200, seed=5)
BITS = base64.b64encode(bytes(11_250)).decode()
CANDLE = [100.0, 101.0, 99.0, 100.5, 10.0]


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[Ensemble, np.ndarray[Any, Any]]]:
    """Id -> a ridge model and windows (6, lags, 3) to predict."""
    found = {}
    for lags in (1, 4):
        prepared = prepare(make_case(lags=lags), DATASET)
        rows = prepared.rows("train")
        inputs, labels = prepared.windows_at(rows), prepared.labels[rows]
        found[f"ridge-{lags}"] = fit_ensemble(prepared.case, inputs, labels), inputs[:6]
    return found


@pytest.fixture(scope="module")
def client(api_store: ApiStore, tmp_path_factory: Any, fitted: Any) -> Iterator[httpx.Client]:
    store = api_store.copy(tmp_path_factory.mktemp("inference"))
    for lags in (1, 4):
        save_model(store.store, f"ridge-{lags}", make_case(lags=lags), fitted[f"ridge-{lags}"][0],
                   BandScores(np.empty(0), None), {})  # fmt: skip
    store.database.execute("update champions set model_id = null")
    store.database.execute("update champions set model_id = 'ridge-1' where symbol = 'BTC/USDT' and timeframe = '1h'")
    store.database.execute("update champions set model_id = 'ridge-4' where symbol = 'ETH/USDT' and timeframe = '1h'")
    store.publish("with champions")
    application = make_application(store)
    ChartsByHand.into(application)
    with serving(application) as found:
        yield found


def rows_input(windows: np.ndarray[Any, Any], **changes: Any) -> dict[str, Any]:
    values = windows[:, 0] if windows.shape[1] == 1 else windows
    given = {"name": "rows", "datatype": "FP64", "shape": list(values.shape), "data": values.astype(float).tolist()}
    return {"inputs": [{**given, **changes}]}


def test_a_champion_predicts_rows_as_it_does_in_memory(client: httpx.Client, fitted: Any) -> None:
    assert client.get("/v2").json()["models"] == ["charts", "ridge-1", "ridge-4"]
    for name, (ensemble, windows) in fitted.items():
        metadata = client.get(f"/v2/models/{name}").json()
        shape = [-1, 3] if name == "ridge-1" else [-1, 4, 3]
        assert metadata["inputs"][0]["shape"] == shape
        assert metadata["inputs"][0]["parameters"] == {"columns": list(FEATURES)}
        assert metadata["outputs"][0]["parameters"] == {"names": ["label_high", "label_low", "label_close"]}
        for path in (f"/v2/models/{name}/infer", f"/v2/models/{name}/versions/1/infer"):
            answer = client.post(path, json={"id": "7", **rows_input(windows)})
            assert answer.status_code == 200, answer.text
            content = answer.json()
            assert (content["model_name"], content["model_version"], content["id"]) == (name, "1", "7")
            (output,) = content["outputs"]
            assert (output["datatype"], output["shape"]) == ("FP64", [6, 3])
            np.testing.assert_array_equal(np.reshape(output["data"], (6, 3)), ensemble.predict(windows))
        assert client.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}
    assert client.get("/v2/health/live", headers={"X-API-Key": ""}).json() == {"live": True}
    assert client.get("/v2/health/ready", headers={"X-API-Key": ""}).json() == {"ready": True}


def test_wrong_tensors_are_400_and_unknown_models_404(client: httpx.Client, fitted: Any) -> None:
    windows = fitted["ridge-1"][1]
    good = rows_input(windows)
    image = {"name": "chart", "datatype": "UINT8", "shape": [1, 200, 150, 3], "data": [0] * 90_000}
    cases: list[tuple[str, Any, str]] = [
        ("ridge-1", rows_input(windows, name="row"), "has no tensor row, but rows"),
        ("ridge-1", rows_input(windows, datatype="INT64"), "expected datatype FP64 or FP32"),
        ("ridge-1", rows_input(windows, shape=[6, 4]), r"expected shape [-1, 3], was [6, 4]"),
        ("ridge-1", rows_input(windows, shape=[7, 3]), "does not fill shape [7, 3]"),
        ("ridge-1", rows_input(windows, data=["a"] * 18), "does not fill shape"),
        ("ridge-1", rows_input(windows, data=[1e300] * 18), "not finite"),
        ("ridge-1", {**good, "outputs": [{"name": "odds"}]}, "has no tensor odds, but predictions"),
        ("ridge-1", {"inputs": good["inputs"] * 2}, "Expected one input"),
        ("ridge-1", {"inputs": []}, "inputs"),
        ("charts", {"inputs": [{**image, "data": [2] * 90_000}]}, "neither 0 nor 1"),
        ("charts", {"inputs": [{**image, "datatype": "BYTES", "shape": [1], "data": ["AA"]}]}, "base64"),
    ]
    for name, body, said in cases:
        answer = client.post(f"/v2/models/{name}/infer", json=body)
        assert answer.status_code == 400 and said in answer.json()["error"], (body, answer.text)
        assert answer.json().keys() == {"error"}
    assert client.post("/v2/models/ridge-1/infer", content=b"{").status_code == 400
    for path in ("nobody", "ridge-1/versions/2", "nobody/ready"):
        answer = client.get(f"/v2/models/{path}")
        assert answer.status_code == 404 and answer.json().keys() == {"error"}


def test_one_bad_chart_is_422_with_its_place_and_nothing_is_predicted(client: httpx.Client) -> None:
    good, window = {"bits": BITS}, [CANDLE] * 200
    cases: list[tuple[Any, list[Any]]] = [
        ({"charts": [good, {"bits": "AA=="}]}, ["charts", 1, "bits"]),
        ({"charts": [good, {"bits": BITS[:-1] + "!"}]}, ["charts", 1, "bits"]),
        ({"charts": [good, {"pixels": BITS}]}, ["charts", 1]),
        ({"charts": []}, ["charts"]),
        ({"charts": [good] * 257}, ["charts"]),
        ({"candles": [window, [CANDLE] * 199]}, ["candles", 1]),
        ({"candles": [[*[CANDLE] * 199, [100, 99, 98, 100, 1]]]}, ["candles", 0]),
        ({"candles": [[*[CANDLE] * 199, [100, 101, 99, None, 1]]]}, ["candles", 0]),
        ({"candles": [[*[CANDLE] * 199, [100, 101, 99, "100", 1]]]}, ["candles", 0]),
        ({"candles": [[*[CANDLE] * 199, [100, 101, 99, 100, -1]]]}, ["candles", 0]),
        ({"candles": [[*[CANDLE] * 199, [1e300, 1e300, 99, 100, 1]]]}, ["candles", 0]),
        ({"charts": [good], "candles": [window]}, []),
        ([good], []),
    ]
    for body, loc in cases:
        answer = client.post("/v1/predict/charts", json=body)
        assert answer.status_code == 422, (loc, answer.text)
        assert [one["loc"] for one in answer.json()["errors"]] == [loc], answer.text
    binary = {"Content-Type": "application/octet-stream"}
    assert client.post("/v1/predict/charts", content=bytes(11_251), headers=binary).status_code == 422
    assert client.post("/v1/predict/charts", content=b"x", headers={"Content-Type": "image/png"}).status_code == 415


def test_the_channels_and_the_order_of_an_image_are_those_of_the_contract(client: httpx.Client) -> None:
    images = np.zeros((3, 200, 150, 3), np.uint8)
    images[0, ..., 0], images[1, ..., 1], images[2, :100, :, 2] = 1, 1, 1
    body = {"charts": [{"bits": base64.b64encode(np.packbits(image).tobytes()).decode()} for image in images]}
    answer = client.post("/v1/predict/charts", json=body)
    assert answer.json() == [
        {"predictions": {"maxRisePct": rise, "maxDeclinePct": decline, "endChangePct": end}}
        for rise, decline, end in ((1, 0, 0), (0, 1, 0), (0, 0, 0.5))
    ]


def test_without_a_chart_model_503_names_the_command_that_makes_one(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        answer = client.post("/v1/predict/charts", json={"charts": [{"bits": BITS}]})
        assert answer.status_code == 503 and "candleworks chart-model" in answer.json()["detail"]
        store.store.replace("served/charts.json", b"[]")
        answer = client.post("/v1/predict/charts", json={"charts": [{"bits": BITS}]})
        assert answer.status_code == 503 and "served/charts.json" in answer.json()["detail"]
