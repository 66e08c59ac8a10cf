"""The models that are served: the champions of all series by id, and the chart model; loaded when first asked for."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from app.api.problems import ApiError
from app.api.snapshots import Snapshots, require_table
from ml.errors import CandleworksError
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.chart_models import SHAPE, ChartModel, Images, load_chart_model, served_chart_model
from ml.forecasting.model_store import load_model
from ml.search.cases import TestCase
from ml.store import Store

_logger = logging.getLogger(__name__)
#: Models in memory; a champion of each of many series would not fit.
KEPT = 16
CHARTS = "charts"
Loaded = TypeVar("Loaded")


class ServedModels:
    """Models of a store. A saved model never changes, so a loaded one is kept under its id."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store, self._snapshots = store, snapshots
        self._loaded: OrderedDict[str, object] = OrderedDict()
        # One at a time: a model uses all cores, and compiled programs are made once.
        self._lock = Lock()

    def names(self) -> list[str]:
        """Ids of the champions, and `charts` if there is a chart model."""
        snapshot = self._snapshots.current()
        require_table(snapshot, "champions")
        rows = snapshot.rows("select distinct model_id from champions where model_id is not null order by model_id")
        charts = [CHARTS] if served_chart_model(self._store) else []
        return [*charts, *(row["model_id"] for row in rows)]

    def chart_model_id(self) -> str:
        """Id of the chart model.

        Raises:
            ApiError: there is none.
        """
        identity = served_chart_model(self._store)
        if identity is None:
            detail = "No chart model has been made. Run `candleworks chart-model`."
            raise ApiError(503, "no-chart-model", detail, {"Retry-After": "600"})
        return identity

    def predict_charts(self, identity: str, images: Images) -> npt.NDArray[np.float64]:
        """See `ChartModel.predict`."""
        with self._lock:
            model: ChartModel = self._get(identity, lambda: load_chart_model(self._store, identity))
            return model.predict(images)

    def preload_charts(self) -> None:
        """Load the chart model and compile it, so that the first request does not wait for that."""
        try:
            identity = served_chart_model(self._store)
            if identity is not None:
                self.predict_charts(identity, np.zeros((1, *SHAPE), np.uint8))
        except CandleworksError as error:
            _logger.error("The chart model was not loaded: %s", error)

    def case_of(self, identity: str) -> TestCase:
        """The case of a champion."""
        with self._lock:
            return self._champion(identity)[0]

    def predict(self, identity: str, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Labels (n, k) of a champion for raw windows (n, lags, f).

        Raises:
            PredictionError: the model's output is not usable.
        """
        with self._lock:
            return self._champion(identity)[1].predict(windows)

    def _champion(self, identity: str) -> tuple[TestCase, Ensemble]:
        return self._get(identity, lambda: load_model(self._store, identity)[:2])

    def _get(self, identity: str, load: Callable[[], Loaded]) -> Loaded:
        if identity not in self._loaded:
            self._loaded[identity] = load()
        self._loaded.move_to_end(identity)
        while len(self._loaded) > KEPT:
            self._loaded.popitem(last=False)
        found: Loaded = self._loaded[identity]  # type: ignore[assignment]
        return found
