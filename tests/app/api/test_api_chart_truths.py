"""The known truths of predictions on charts, with a small network of the real family."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from api_harness import ApiStore, make_application, serving

from ml.data.datasets import windows
from ml.data.targets import TARGETS
from ml.evaluation.forecaster import Ensemble, Member
from ml.forecasting.chart_models import (
    FAMILY,
    NAMES,
    TARGET,
    coherent_changes,
    draw_charts,
    load_chart_model,
    pack,
    serve_charts,
    unpack,
)
from ml.forecasting.model_store import load_model, save_model
from ml.metrics.conformal import BandScores
from ml.search.cases import TestCase
from tests.synthetic import SERIES, make_dataset

pytestmark = [
    pytest.mark.e2e,
    # Keras saves TensorFlow variables by numpy.array, for which they lack the keyword of NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
BINARY = {"Content-Type": "application/octet-stream"}
DATASET = make_dataset(300, seed=3)
#: (50, 200, 5) windows of candles, and their images.
CANDLES = windows(DATASET.candles.astype(np.float32), 200)[:100:2]


def _save_chart_model(store: ApiStore) -> str:
    """A network with random weights: what it predicts is arbitrary, and differs between images."""
    from ml.models.neural import ChartImageModel  # noqa: PLC0415
    from ml.networks.architectures import Design  # noqa: PLC0415

    model = ChartImageModel(seed=1, units=2, depth=1)
    model.network = Design("chart_cnn", 200, 5, 3, 2, 1).build(1)
    random = np.random.default_rng(1)
    for weights in model.network.weights:  # with biases, so that no image is beyond all of them
        weights.assign(np.asarray(weights) + random.normal(0.05, 0.05, weights.shape).astype(np.float32))
    model.label_mean, model.label_scale = np.array([0.5, -0.5, 0.0]), np.array([1.5, 1.5, 2.0])
    case = TestCase(series=SERIES, model=FAMILY, target=TARGET, lags=200, params={"units": 2, "depth": 1})
    ensemble = Ensemble((Member(None, model, TARGETS[TARGET]),))
    save_model(store.store, "chart-model", case, ensemble, BandScores(np.empty(0), None), {})
    serve_charts(store.store, "chart-model")
    return "chart-model"


@pytest.fixture(scope="module")
def charts(api_store: ApiStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiStore, httpx.Client]]:
    store = api_store.copy(tmp_path_factory.mktemp("charts"))
    _save_chart_model(store)
    with serving(make_application(store)) as client:
        yield store, client


def predict(client: httpx.Client, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The triples of images, sent as bytes."""
    response = client.post("/v1/predict/charts", content=pack(images).tobytes(), headers=BINARY)
    assert response.status_code == 200, response.text
    assert response.headers["x-horizon-candles"] == "30"
    assert response.headers["x-model-id"] == "chart-model"
    return np.array([[one["predictions"][name] for name in NAMES] for one in response.json()])


def test_01_fifty_charts_give_fifty_triples_in_their_order(charts: tuple[ApiStore, httpx.Client]) -> None:
    _, client = charts
    images = draw_charts(CANDLES)
    triples = predict(client, images)
    assert triples.shape == (50, 3) and len(np.unique(triples[:, 2])) == 50
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_allclose(predict(client, images[order]), triples[order], rtol=0, atol=1e-6)
    alone = np.concatenate([predict(client, images[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(alone, triples, rtol=0, atol=1e-6)
    assert (predict(client, images) == triples).all(), "same bytes, same answer"
    rise, decline, end = triples.T
    assert (rise >= end).all() and (end >= decline).all()


def test_02_one_pixel_changes_its_row_alone(charts: tuple[ApiStore, httpx.Client]) -> None:
    _, client = charts
    white, black = np.zeros((1, 200, 150, 3), np.uint8), np.ones((1, 200, 150, 3), np.uint8)
    images = np.concatenate([white, black, white])
    before = predict(client, images)
    assert (before[0] == before[2]).all() and (before[0] != before[1]).any()
    images[2, 100, 75, 1] = 1
    after = predict(client, images)
    assert (after[:2] == before[:2]).all() and (after[2] != before[2]).any()


def test_03_the_triples_are_those_of_ml_in_memory(charts: tuple[ApiStore, httpx.Client]) -> None:
    store, client = charts
    ensemble = load_model(store.store, "chart-model")[1]
    expected = coherent_changes(ensemble.predict(CANDLES))
    from ml.networks.charts import chart_rows, draw  # noqa: PLC0415 - it loads TensorFlow

    images = draw(np, chart_rows(CANDLES)).astype(np.uint8)
    np.testing.assert_allclose(predict(client, images), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        load_chart_model(store.store, "chart-model").predict(images), expected, rtol=0, atol=1e-6
    )


def test_04_bits_are_packed_and_unpacked_alike_and_all_encodings_have_one_answer(
    charts: tuple[ApiStore, httpx.Client],
) -> None:
    _, client = charts
    images = np.random.default_rng(4).integers(0, 2, (3, 200, 150, 3)).astype(np.uint8)
    assert (unpack(pack(images)) == images).all()
    by_hand = [np.packbits(image).tobytes() for image in images]
    assert pack(images).tobytes() == b"".join(by_hand) and len(by_hand[0]) == 11_250
    images = draw_charts(CANDLES[:3])
    expected = predict(client, images)
    bits = {"charts": [{"bits": base64.b64encode(np.packbits(image).tobytes()).decode()} for image in images]}
    for body in (bits, {"candles": CANDLES[:3].tolist()}):
        found = client.post("/v1/predict/charts", json=body).json()
        assert [list(one["predictions"].values()) for one in found] == expected.tolist()


def test_the_inference_route_has_the_same_answer(charts: tuple[ApiStore, httpx.Client]) -> None:
    _, client = charts
    images = draw_charts(CANDLES[:2])
    expected = predict(client, images)
    assert "charts" in client.get("/v2").json()["models"]
    metadata = client.get("/v2/models/charts/versions/1").json()
    assert metadata["inputs"] == [
        {"name": "chart", "datatype": "UINT8", "shape": [-1, 200, 150, 3], "parameters": None}
    ]
    assert metadata["outputs"][0]["shape"] == [-1, 3] and metadata["outputs"][0]["parameters"]["names"] == list(NAMES)
    base = {"name": "chart", "shape": [2, 200, 150, 3]}
    texts = [base64.b64encode(image.tobytes()).decode() for image in images]
    for given in (
        {**base, "datatype": "UINT8", "data": images.ravel().tolist()},
        {**base, "datatype": "UINT8", "data": images.tolist()},
        {**base, "datatype": "BOOL", "data": images.astype(bool).tolist()},
        {**base, "shape": [2], "datatype": "BYTES", "data": texts, "parameters": {"content_type": "base64"}},
    ):
        answer = client.post("/v2/models/charts/infer", json={"id": "mine", "inputs": [given]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == "mine" and answer.headers["x-model-id"] == "chart-model"
        (output,) = answer.json()["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("predictions", "FP32", [2, 3])
        np.testing.assert_allclose(np.reshape(output["data"], (2, 3)), expected, rtol=1e-6, atol=1e-6)
