"""Models that serve signals: refitted on all rows of their dataset, as champions are, and saved with a model card."""

from __future__ import annotations

import numpy as np

from ml.evaluation.evaluate import fit_rows
from ml.forecasting.model_folder import SavedModel
from ml.forecasting.model_store import model_id, save_model, usable_model
from ml.metrics.conformal import BandScores
from ml.promotion.gate import trained_span_ms
from ml.records import ModelCard
from ml.store import Store
from ml.trading.scores import CaseForecasts

SIGNAL: ModelCard = {"kind": "signal: refitted on all closed rows"}
LIMITS = (
    "Its case was the best of a search on the rows on which the thresholds of its signals were chosen.",
    "Skill of a forecast is not profit: the report of each rule has the costs and the luck.",
    "Not trading advice.",
)


def save_for_signals(store: Store, forecasts: CaseForecasts) -> SavedModel:
    """Refit a case on all usable rows of its dataset and save it, unless that has been done."""
    prepared = forecasts.prepared
    case, dataset = prepared.case, prepared.dataset
    identity = model_id(case, dataset.id, "signal")
    if (saved := usable_model(store, identity)) is not None:
        return saved
    rows = prepared.learnt(np.flatnonzero(prepared.usable))
    card: ModelCard = {
        **SIGNAL,
        **trained_span_ms(prepared, rows),
        "series": dataset.series.key,
        "dataset_id": dataset.id,
        "seeds": list(case.seeds),
        "selection": {},
        "holdout": {},
        "intended_use": f"Forecasts {case.target} for the signals of its series, at the close of each candle.",
        "limits": list(LIMITS),
        "lineage": dataset.lineage(case.lineage_columns),
    }
    refitted = fit_rows(prepared, rows, forecasts.walks[0].last)
    return save_model(store, identity, case, refitted, BandScores(np.empty(0), None), card)
