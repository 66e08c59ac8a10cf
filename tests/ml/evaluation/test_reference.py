"""The reference protocol equals a plain Keras script, faults included."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.synthetic import make_dataset

pytestmark = pytest.mark.usefixtures("keras_on_cpu")


def test_the_reference_equals_a_plain_keras_script_and_names_its_baselines() -> None:
    import keras  # noqa: PLC0415

    from ml.evaluation.reference import evaluate_reference  # noqa: PLC0415

    dataset = make_dataset(260)
    record = evaluate_reference(dataset, epochs=3)

    # Source of the script: the protocol's description, price levels in the order high low close open volume.
    levels = dataset.candles[:, [1, 2, 3, 0, 4]]
    low, high = levels.min(axis=0), levels.max(axis=0)
    span = np.where(high == low, 1, high - low)  # the volume is constant here
    scaled = ((levels - low) / span).astype(np.float32)
    x = np.array([scaled[i : i + 10] for i in range(250)])
    y = np.array([scaled[i + 10, :3] for i in range(250)])
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((10, 5)), keras.layers.LSTM(50), keras.layers.Dense(3)])
    model.compile(optimizer="adam", loss="mae")
    model.fit(x[:200], y[:200], epochs=3, batch_size=72, shuffle=False, verbose=0)
    predicted = np.asarray(model(x[200:])).astype(float) * span[:3] + low[:3]

    # Windows 200..249 end at rows 209..258 and are answered by candles 210..259.
    truth, close = levels[210:, :3], dataset.candles[209:259, 3]
    assert record["n_test"] == 50
    assert record["rmse_quote"] == pytest.approx(np.sqrt(np.mean((predicted - truth) ** 2)), rel=1e-5)
    errors = (predicted - truth) / close[:, None]
    assert record["rmse_pct"] == pytest.approx(100 * np.sqrt(np.mean(errors**2)), rel=1e-5)

    # The baselines at every row t, which knows the labels up to t - 1; the one to beat is best on the train rows.
    all_close, smooth = dataset.candles[:, 3:4], pd.DataFrame(dataset.labels).ewm(span=6, adjust=False).mean().shift(1)
    baselines = {
        "last_candle": levels[:, :3],
        "mean_range": all_close * np.exp(np.append(dataset.labels[:200].mean(axis=0)[:2], 0)),
        "drift": all_close * np.exp(dataset.labels[:200].mean(axis=0)),
        "ewma_range": all_close * np.exp(smooth.to_numpy() * [1, 1, 0]),
    }

    def error(name: str, rows: slice) -> float:
        following = levels[rows.start + 1 : rows.stop + 1, :3]
        return 100 * float(np.sqrt(np.mean(((baselines[name][rows] - following) / all_close[rows]) ** 2)))

    def train_error(name: str) -> float:
        # Rows 1..199 in halves, each of which learns its means from the other one.
        squares = []
        for rows, others in ((slice(1, 101), slice(101, 200)), (slice(101, 200), slice(1, 101))):
            mean = dataset.labels[others].mean(axis=0)
            learnt = {"mean_range": np.append(mean[:2], 0), "drift": mean}
            said = all_close[rows] * np.exp(learnt[name]) if name in learnt else baselines[name][rows]
            following = levels[rows.start + 1 : rows.stop + 1, :3]
            squares.append(((said - following) / all_close[rows]) ** 2)
        return float(np.concatenate(squares).mean())

    best = min(baselines, key=train_error)
    test_rows = slice(209, 259)
    assert record["baseline"] == best
    assert record["baseline_rmse_pct"] == pytest.approx(error(best, test_rows), rel=1e-9)
    for figure, name in (
        ("skill", best),
        ("skill_mean_range", "mean_range"),
        ("skill_last_candle", "last_candle"),
    ):
        assert record[figure] == pytest.approx(1 - record["rmse_pct"] / error(name, test_rows), rel=1e-9)


def test_minmax_takes_all_rows_the_test_rows_too() -> None:
    from ml.evaluation.reference import minmax_all_rows  # noqa: PLC0415

    scaled, low, span = minmax_all_rows(np.array([[1.0, 7.0], [2.0, 7.0], [5.0, 7.0]]))
    # (x - 1) / 4; a constant column becomes 0.
    np.testing.assert_array_equal(scaled, [[0, 0], [0.25, 0], [1, 0]])
    np.testing.assert_array_equal((low, span), ([1, 7], [4, 1]))


def test_the_network_is_the_protocols() -> None:
    from ml.evaluation.reference import BATCH_SIZE, EPOCHS, LAGS, TRAIN_FRACTION, build_network  # noqa: PLC0415

    network = build_network(10, 5)
    # LSTM: 4 gates x (5 inputs + 50 states + 1) x 50; Dense: (50 + 1) x 3.
    assert network.count_params() == 4 * 56 * 50 + 51 * 3
    assert (EPOCHS, BATCH_SIZE, LAGS, TRAIN_FRACTION, network.loss) == (750, 72, 10, 0.8, "mae")
