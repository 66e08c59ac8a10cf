"""Columns of result files."""

from __future__ import annotations

import pyarrow as pa

from ml.records import Metrics

#: Metrics of a case; each kind of target has some of them, the others are null.
METRICS = tuple(Metrics.__annotations__)
TIMES = ("train_start", "train_end", "validation_start", "validation_end")
_TIME = pa.timestamp("ms")

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("case_key", "dataset_id", "exchange", "symbol", "timeframe")]
    + [("model", pa.string()), ("model_family", pa.string()), ("feature_set", pa.string())]
    + [("n_features", pa.int64()), ("lags", pa.int64()), ("case_json", pa.string())]
    + [("status", pa.string()), ("error", pa.string()), ("worker", pa.string())]
    + [("started_at", _TIME), ("finished_at", _TIME), ("fit_seconds", pa.float64()), ("peak_memory_mb", pa.float64())]
    + [("code_version", pa.string()), ("baseline", pa.string())]
    + [(name, pa.float64()) for name in METRICS]
    + [("n_train", pa.int64()), ("n_validation", pa.int64())]
    + [(name, _TIME) for name in TIMES]
    + [("seed_metrics", pa.string())]
    + [("loss_day", pa.list_(pa.date32())), ("loss_model", pa.list_(pa.float64()))]
    + [("loss_baseline", pa.list_(pa.float64()))]
    # Tables as JSON: one row per label, step, event or class; one row per fit of a walk-forward evaluation.
    + [("label_metrics", pa.string()), ("window_metrics", pa.string())]
    # Hash of the formulas of the case's columns, as 12 hexadecimal digits; null where unknown.
    + [("lineage", pa.string())]
)
