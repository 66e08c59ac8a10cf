"""Real candles: skill in the range, none in the close, and an interval with its nominal coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.evaluation.evaluate import evaluate, fit_and_evaluate, score_predictions
from tests.predicting import predict_part
from tests.recorded import recorded_dataset
from tests.synthetic import make_case


@pytest.mark.parametrize("symbol", ["BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT"])
def test_the_joint_80_percent_interval_covers_75_to_85_percent_of_rows_never_seen(
    candles_dir: Path, symbol: str
) -> None:
    dataset = recorded_dataset(candles_dir / "binance" / symbol.replace("/", "-") / "1h.parquet", symbol)
    case = make_case(series=dataset.series, features=tuple(sorted(dataset.columns)))
    evaluation, prepared, ensemble = fit_and_evaluate(case, dataset)
    assert 0.75 <= evaluation.metrics["band_coverage"] <= 0.85
    holdout = score_predictions(
        prepared, predict_part(prepared, ensemble, "holdout", earlier="validation"), evaluation.baseline
    )
    assert 0.75 <= holdout["band_coverage"] <= 0.85


def test_ridge_beats_every_baseline_on_btc_in_the_range_but_not_in_the_close(candles_dir: Path) -> None:
    dataset = recorded_dataset(candles_dir / "binance" / "BTC-USDT" / "1h.parquet", "BTC/USDT")
    case = make_case(series=dataset.series, features=tuple(sorted(dataset.columns)), weights="inverse_scale")
    metrics = evaluate(case, dataset).metrics
    assert metrics["skill_mean_range"] > 0.02
    assert metrics["skill_ewma_range"] > 0.02
    assert metrics["skill"] > 0
    assert min(metrics["skill_high"], metrics["skill_low"]) > 0
    assert abs(metrics["skill_close"]) < 0.01
