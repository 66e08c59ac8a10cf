"""What training and charts cost: the reference protocol in plain Keras, our default models, groups, pictures.

Seconds are CPU seconds of this process, which has one thread.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.data.datasets import Dataset, windows
from ml.evaluation.forecaster import fit_ensemble
from tests.benchmarks.pairing import report
from tests.conftest import REPOSITORY
from tests.recorded import recorded_dataset
from tests.synthetic import make_case, make_dataset

#: As many train rows as the reference has in five years of hourly candles.
ROWS, LAGS, BATCH = 36_000, 10, 72
REFERENCE_EPOCHS, MEASURED_EPOCHS = 750, 20
#: Charts of the paired measurement of bulk inference, of as many candles as an image has columns.
BULK_CHARTS, BULK_LAGS = 320, 200
#: Two years of hourly candles of three markets.
CHARTS, CHART_LAGS = 3 * 2 * 365 * 24, 30


def _note(name: str, text: str) -> None:
    sys.stderr.write(f"{name}: {text}\n")


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _reference_network() -> Any:
    import keras  # noqa: PLC0415

    from ml.evaluation.reference import SEED, build_network  # noqa: PLC0415

    keras.utils.set_random_seed(SEED)
    return build_network(LAGS, 5)


def _keras_epochs(network: Any, inputs: Any, targets: Any, epochs: int) -> None:
    network.fit(inputs, targets, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)


def _levels(dataset: Dataset, rows: int = ROWS) -> tuple[Any, Any]:
    """Windows (rows, 10, 5) and targets (rows, 3) of the reference protocol."""
    from ml.evaluation.reference import COLUMNS, LABEL_COUNT, minmax_all_rows  # noqa: PLC0415

    scaled = minmax_all_rows(np.asarray(dataset.candles)[:, COLUMNS])[0].astype(np.float32)
    return np.ascontiguousarray(windows(scaled, LAGS)[:rows]), scaled[LAGS : rows + LAGS, :LABEL_COUNT]


def reference_epoch(name: str) -> None:
    """One epoch of the reference protocol: Keras' `fit` against the compiled epoch, weights compared at 100 steps."""
    from ml.evaluation.reference import SEED, UNITS  # noqa: PLC0415
    from ml.networks.architectures import Design  # noqa: PLC0415
    from ml.networks.training import Member, Schedule, train  # noqa: PLC0415

    inputs, targets = _levels(make_dataset(ROWS + LAGS))
    design = Design("lstm", LAGS, 5, 3, UNITS, 1)

    def ours(rows: int, epochs: int) -> list[Any]:
        schedule = Schedule(BATCH, epochs, shuffle=False, loss="mae")
        return train(design, Member(SEED, 0.001), inputs[:rows], targets[:rows], schedule).weights

    network = _reference_network()
    _keras_epochs(network, inputs[: 100 * BATCH], targets[: 100 * BATCH], 1)
    pairs = zip(ours(100 * BATCH, 1), network.trainable_variables, strict=True)
    apart = max(float(np.abs(mine - other.numpy()).max() / np.abs(other.numpy()).max()) for mine, other in pairs)
    _note(name, f"after 100 steps the weights lie {apart:.1e} of the largest apart")

    ours(ROWS, 1)
    seconds = [
        (_cpu_seconds(lambda: ours(ROWS, 1)), _cpu_seconds(lambda: _keras_epochs(network, inputs, targets, 1)))
        for _ in range(5)
    ]
    mine, theirs = (statistics.median(side) for side in zip(*seconds, strict=True))
    report(name, mine, theirs, statistics.median(one / other for one, other in seconds), "CPU s")


def _hourly() -> Dataset:
    folder = os.environ.get("CANDLEWORKS_CANDLES", str(REPOSITORY.parent / "shared" / "candles"))
    path = REPOSITORY / folder / "binance" / "BTC-USDT" / "1h.parquet"
    return recorded_dataset(path, "BTC/USDT") if path.exists() else make_dataset(ROWS + 1000)


def fit_against_reference(name: str) -> None:
    """One fit of our default LSTM and of Ridge against 750 epochs of the reference, from 20 measured ones."""
    dataset = _hourly()
    features = tuple(sorted(dataset.columns))
    known = np.isfinite(dataset.features).all(axis=1) & np.isfinite(dataset.labels).all(axis=1)
    first = int(np.flatnonzero(known)[0])
    rows = np.flatnonzero(known[first + LAGS :])[:ROWS] + first + LAGS
    order = [dataset.columns.index(column) for column in features]
    inputs = np.ascontiguousarray(windows(dataset.features[:, order], LAGS)[rows - LAGS + 1])
    usable = np.isfinite(inputs).all(axis=(1, 2))
    inputs, labels = inputs[usable], dataset.labels[rows][usable]

    network, table = _reference_network(), _levels(dataset)
    _keras_epochs(network, *table, 1)
    measured = _cpu_seconds(lambda: _keras_epochs(network, *table, MEASURED_EPOCHS))
    reference = measured / MEASURED_EPOCHS * REFERENCE_EPOCHS
    _note(name, f"{measured:.1f} CPU s for {MEASURED_EPOCHS} epochs of the reference, extrapolated to 750")
    for model in ("lstm", "ridge"):
        case = make_case(features=features, model=model, lags=LAGS, seeds=(0,))
        for run in ("first", "second"):
            mine = _cpu_seconds(lambda case=case: fit_ensemble(case, inputs, labels))  # type: ignore[misc]
            _note(name, f"{model}, {run} fit: the reference takes {reference / mine:,.0f} times as long")
            report(f"{name}_{model}_{run}", mine, reference, mine / reference, "CPU s")


def _candle_windows(count: int) -> npt.NDArray[np.float32]:
    candles = make_dataset(count + CHART_LAGS - 1).candles.astype(np.float32)
    return np.ascontiguousarray(windows(candles, CHART_LAGS))


def chart_images(name: str) -> None:
    """Pictures drawn a second, milliseconds a frame through the network, and two years of three markets on the way."""
    from ml.models import MODELS  # noqa: PLC0415
    from ml.networks.charts import chart_rows, draw  # noqa: PLC0415

    few = _candle_windows(64)
    model: Any = MODELS["chart_cnn"].build({"epochs": 1}, 0)
    model.fit(few, np.random.default_rng(0).normal(0, 0.01, (64, 3)))

    def drawn() -> object:
        return draw(np, chart_rows(few)).astype(np.float32)

    drawn()
    rate = 64 / statistics.median(_cpu_seconds(drawn) for _ in range(20))
    report(f"{name}_renders", rate, 10_000, rate / 10_000, "pictures/s")
    for frames, budget_ms in ((1, 50.0), (64, 50.0)):
        model.predict(few[:frames])
        ms = 1000 * statistics.median(_cpu_seconds(lambda n=frames: model.predict(few[:n])) for _ in range(10)) / frames  # type: ignore[misc]
        report(f"{name}_frame_of_{frames}", ms, budget_ms, ms / budget_ms, "ms")
    seconds = _cpu_seconds(lambda: model.predict(_candle_windows(CHARTS)))
    _note(name, f"{CHARTS} frames, candles to predictions")
    report(f"{name}_two_years_of_three", seconds, CHARTS * 0.05, seconds / (CHARTS * 0.05), "CPU s")


def bulk_inference(name: str) -> None:
    """`candleworks predict` over charts of 200 candles in worker processes, against one frame at a time, in pairs."""
    from ml.evaluation.forecaster import Ensemble, Member  # noqa: PLC0415
    from ml.forecasting.bulk import predicted, whole_rows  # noqa: PLC0415
    from ml.models import MODELS  # noqa: PLC0415

    model: Any = MODELS["chart_cnn"].build({"epochs": 1}, 0)
    candles = make_dataset(BULK_CHARTS + BULK_LAGS - 1).candles.astype(np.float32)
    model.fit(np.ascontiguousarray(windows(candles, BULK_LAGS)[:64]), np.random.default_rng(0).normal(0, 0.01, (64, 3)))
    ensemble = Ensemble((Member(None, model),))
    rows = whole_rows(np.arange(len(candles), dtype=np.int64), candles, BULK_LAGS, 1)
    frames = np.ascontiguousarray(windows(candles, BULK_LAGS))

    def single() -> Any:
        return np.concatenate([ensemble.predict(frames[i : i + 1]) for i in range(len(frames))])

    def bulk() -> Any:
        return predicted(ensemble, candles, rows, BULK_LAGS)

    _note(name, f"in bulk and one frame at a time {np.abs(bulk() - single()).max():.1e} apart")
    pairs = [(_cpu_seconds(bulk), _cpu_seconds(single)) for _ in range(3)]
    mine, other = (1000 * statistics.median(side) / len(frames) for side in zip(*pairs, strict=True))
    report(name, mine, other, statistics.median(one / two for one, two in pairs), "CPU ms a frame")


def grouped_training(name: str) -> None:
    """Fits an hour in groups of K against one by one, on a GPU."""
    from ml.networks import training  # noqa: PLC0415
    from ml.networks.architectures import Design  # noqa: PLC0415

    if not training.pays():
        _note(name, "no accelerator: not measured")
        return
    random = np.random.default_rng(0)
    inputs = random.normal(size=(ROWS, LAGS, 12)).astype(np.float32)
    targets = random.normal(size=(ROWS, 3)).astype(np.float32)
    design, epochs = Design("lstm", LAGS, 12, 3, 32, 1), 5
    schedule = training.Schedule(256, epochs, patience=6)

    def seconds(work: Callable[[], object]) -> float:
        work()  # compiles
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    alone = seconds(lambda: training.train(design, training.Member(0, 0.002), inputs, targets, schedule))
    for count in (1, 16, 64, 256):
        members = [training.Member(seed, 0.002) for seed in range(count)]
        each = seconds(lambda group=members: training.train_group(design, group, inputs, targets, schedule)) / count  # type: ignore[misc]
        report(f"{name}_{count}", 3600 / each, 3600 / alone, alone / each, f"fits of {epochs} epochs/hour")
