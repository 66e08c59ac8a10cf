"""Makes the chart model that serves other programs: fitted on the train rows of a series, evaluated on its validation
rows, saved with both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.data.datasets import Dataset
from ml.evaluation.evaluate import fit_and_evaluate
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.chart_models import FAMILY, LAGS, TARGET, serve_charts
from ml.forecasting.model_store import model_id, save_model
from ml.metrics.conformal import BandScores
from ml.promotion.gate import trained_span_ms
from ml.records import ModelCard
from ml.search.cases import TestCase
from ml.store import Store

LIMITS = (
    "An image has no prices and no time: the model knows the shape of the last 200 candles alone.",
    "Its figures are those of one split; the holdout was not opened.",
    "Not trading advice.",
)


@dataclass(frozen=True)
class ChartFit:
    """The result: the id of the model, and its error against that of the baseline on validation rows, in percent."""

    model_id: str
    rmse_pct: float
    baseline: str
    skill: float
    n_train: int
    n_validation: int


def make_chart_model(
    store: Store, dataset: Dataset, rows: int, params: dict[str, int | float | str | bool]
) -> ChartFit:
    """Fit a chart model and let it serve.

    Args:
        store: gets the model.
        dataset: of the series.
        rows: number of latest train rows to learn from.
        params: of the family, such as epochs.

    Raises:
        CaseError: the dataset lacks the target, or has too few rows.
        PredictionError: the model's output is not usable.
    """
    case = TestCase(series=dataset.series, model=FAMILY, target=TARGET, lags=LAGS, params=params, train_rows=rows)
    evaluation, prepared, fitted = fit_and_evaluate(case, dataset)
    metrics = evaluation.metrics
    identity = _save(store, case, prepared.dataset, fitted, {
        **trained_span_ms(prepared, prepared.rows("train")),
        "selection": {"rmse_pct": metrics["rmse_pct"], "baseline": evaluation.baseline, "skill": metrics["skill"]},
    })  # fmt: skip
    serve_charts(store, identity)
    return ChartFit(
        model_id=identity,
        rmse_pct=metrics["rmse_pct"],
        baseline=evaluation.baseline,
        skill=metrics["skill"],
        n_train=evaluation.n_train,
        n_validation=evaluation.n_validation,
    )


def _save(store: Store, case: TestCase, dataset: Dataset, fitted: Ensemble, figures: ModelCard) -> str:
    identity = model_id(case, dataset.id, "charts")
    card: ModelCard = {
        **figures,
        "kind": "charts: fitted on the train rows",
        "series": dataset.series.key,
        "dataset_id": dataset.id,
        "seeds": list(case.seeds),
        "holdout": {},
        "intended_use": "Percentages over the next 30 candles for images of charts, by the HTTP API.",
        "limits": list(LIMITS),
        "lineage": dataset.lineage(case.lineage_columns),
    }
    return save_model(store, identity, case, fitted, BandScores(np.empty(0), None), card).id
