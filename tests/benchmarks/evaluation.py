"""What a whole evaluation costs beside the bare fit, and what it finds on real candles."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from ml.evaluation.evaluate import evaluate
from ml.evaluation.preparation import prepare
from tests.benchmarks.pairing import paired, report
from tests.conftest import REPOSITORY
from tests.recorded import recorded_dataset
from tests.synthetic import make_case, make_dataset

ROWS = 50_000


def ridge_case(name: str) -> None:
    """`evaluate` (split, baselines, intervals, all metrics, losses per day) against scaler + fit + predict alone."""
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


def skill_on_real_candles(name: str) -> None:
    """Ridge's error on the validation rows of real BTC/USDT 1h against the best baseline's, in percent."""
    folder = Path(os.environ.get("CANDLEWORKS_CANDLES", REPOSITORY.parent / "shared" / "candles"))
    path = folder / "binance" / "BTC-USDT" / "1h.parquet"
    if not path.exists():
        sys.stderr.write(f"{name}: skipped, no recorded candles at {path}; set CANDLEWORKS_CANDLES to their folder\n")
        return
    dataset = recorded_dataset(path, "BTC/USDT")
    metrics = evaluate(make_case(series=dataset.series, features=tuple(sorted(dataset.columns))), dataset).metrics
    ours, baseline = metrics["rmse_pct"], metrics["baseline_rmse_pct"]
    report(name, ours, baseline, ours / baseline, "rmse_pct")
