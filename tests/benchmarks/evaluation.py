"""What a whole evaluation costs beside the bare fit, and what it finds on real candles."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from ml.config import Series
from ml.datasets import Dataset
from ml.evaluation import evaluate, prepare
from tests.benchmarks.pairing import paired, report
from tests.conftest import REPOSITORY
from tests.synthetic import make_case, make_dataset

ROWS = 50_000


def ridge_case(name: str) -> None:
    """`evaluate` (split, baselines, band, all metrics, losses per day) against scaler + fit + predict alone."""
    dataset = make_dataset(ROWS)
    case = make_case(lags=10)
    prepared = prepare(case, dataset)
    train, validation = prepared.rows("train"), prepared.rows("validation")

    def bare() -> object:
        scaler = StandardScaler()
        fitted = Ridge(alpha=30.0).fit(
            scaler.fit_transform(prepared.windows_at(train).reshape(len(train), -1)), dataset.labels[train]
        )
        return fitted.predict(scaler.transform(prepared.windows_at(validation).reshape(len(validation), -1)))

    report(name, *paired(lambda: evaluate(case, dataset), bare, runs=7), "s")


def _real_dataset(path: Path) -> Dataset:
    """BTC/USDT 1h with the ranges of the last candles as features, made with pandas alone."""
    frame = pd.read_parquet(path)
    time_ms = frame["open_time"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    follows = np.diff(time_ms, prepend=time_ms[0] - 3_600_000) == 3_600_000
    run_length = pd.Series(follows).groupby((~follows).cumsum()).cumcount().to_numpy() + 1
    before = frame["close"].shift(1)
    moves = [np.log(frame[name] / before) for name in ("high", "low", "close")]
    labels = np.stack([np.where(np.append(follows[1:], False), move.shift(-1), np.nan) for move in moves], axis=1)
    hour = frame["open_time"].dt.hour * 2 * np.pi / 24
    features = {f"{i}_{n}": move.rolling(n).mean() for i, move in enumerate(moves[:2]) for n in (1, 6, 24, 72, 168)}
    features |= {"sin": np.sin(hour), "cos": np.cos(hour)}
    return Dataset(
        series=Series(exchange="binance", symbol="BTC/USDT", timeframe="1h"),
        columns=tuple(features),
        groups=("test",) * len(features),
        features=np.stack([column.to_numpy(np.float32) for column in features.values()], axis=1),
        labels=labels,
        candles=frame[["open", "high", "low", "close", "volume"]].to_numpy(),
        open_time_ms=time_ms,
        run_length=run_length.astype(np.int32),
        timeframe_ms=3_600_000,
    )


def skill_on_real_candles(name: str) -> None:
    """Ridge's error on the validation rows of real BTC/USDT 1h against the best baseline's, in percent."""
    folder = Path(os.environ.get("CANDLEWORKS_CANDLES", REPOSITORY.parent / "shared" / "candles"))
    path = folder / "binance" / "BTC-USDT" / "1h.parquet"
    if not path.exists():
        sys.stderr.write(f"{name}: skipped, no recorded candles at {path}; set CANDLEWORKS_CANDLES to their folder\n")
        return
    dataset = _real_dataset(path)
    metrics = evaluate(make_case(series=dataset.series, features=tuple(sorted(dataset.columns))), dataset).metrics
    ours, baseline = metrics["rmse_pct"], metrics["baseline_rmse_pct"]
    report(name, ours, baseline, ours / baseline, "rmse_pct")
