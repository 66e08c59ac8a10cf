"""`make bench [BENCH=name]`: all benchmarks, or one."""

from __future__ import annotations

import sys

from flows.pools.worker_process import use_one_thread

use_one_thread()  # before NumPy is loaded: both sides of a pair have one core

from tests.benchmarks import api, backtest, evaluation, features, gram, neural, peers, storage, sweep, sweep_sizes  # noqa: E402

BENCHMARKS = {
    "api_charts": api.charts,
    "api_forecasts": api.forecasts,
    "backtest": backtest.backtest,
    "evaluate_ridge_case": evaluation.ridge_case,
    "skill_on_real_candles": evaluation.skill_on_real_candles,
    "gram": gram.gram,
    "load_dataset": storage.load_dataset,
    "feature_build": features.feature_build,
    "feature_row_cost": features.feature_row_cost,
    "neural_reference_epoch": neural.reference_epoch,
    "neural_fit_against_reference": neural.fit_against_reference,
    "neural_chart_images": neural.chart_images,
    "neural_grouped_training": neural.grouped_training,
    "peers": peers.peers,
    "sweep_local_pool": sweep.local_pool,
    "sweep_overhead": sweep_sizes.overhead,
    "sweep_start": sweep_sizes.start,
}


def main() -> int:
    """Run what was asked for; 2 for an unknown name."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"No benchmark {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}.\n")
        return 2
    for name in names:
        BENCHMARKS[name](name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
