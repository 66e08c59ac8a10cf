"""The chart model that serves other programs: from the image of a chart to three percentages of the next 30 candles.

``served/charts.json`` names the saved model. An image is 200 columns of time by 150 rows of price by three channels of
binary pixels (`ml.networks.charts`), 11,250 bytes when packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from ml.data.stored import object_bytes, read_object
from ml.data.targets import TARGETS, Floats
from ml.errors import StoreError
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.model_store import load_model
from ml.store import Store

if TYPE_CHECKING:
    from ml.models.neural import ChartImageModel

POINTER = "served/charts.json"
FAMILY = "chart_image_cnn"
TARGET = "horizon_summary_30"
HORIZON = TARGETS[TARGET].horizon
#: Columns (time), rows (price, the lowest first) and channels (body, range, volume) of an image.
SHAPE = (200, 150, 3)
LAGS = SHAPE[0]
PACKED_BYTES = SHAPE[0] * SHAPE[1] * SHAPE[2] // 8
#: The three percentages, in the order of the target's labels.
NAMES = ("maxRisePct", "maxDeclinePct", "endChangePct")
RISE, DECLINE, END = range(3)

Images = npt.NDArray[np.uint8]


class ChartPointer(TypedDict):
    """``served/charts.json``."""

    model_id: str


def served_chart_model(store: Store) -> str | None:
    """Id of the model that serves charts; None if none was made.

    Raises:
        StoreError: the pointer is broken.
    """
    try:
        pointer: ChartPointer = read_object(
            store, POINTER, {"model_id": str}, "Make the model again: `candleworks chart-model`."
        )
    except FileNotFoundError:
        return None
    return pointer["model_id"]


def serve_charts(store: Store, identity: str) -> None:
    """Let a saved model serve charts from now on."""
    store.replace(POINTER, object_bytes({"model_id": identity}))


def coherent_changes(labels: Floats) -> Floats:
    """Percentages (n, 3), changed as little as needed: the rise is not below the end, the decline not above it.

    >>> coherent_changes(np.array([[0.1, 0.2, 0.3]]))
    array([[0.3, 0.2, 0.3]])
    """
    end = labels[:, END]
    return np.stack([np.maximum(labels[:, RISE], end), np.minimum(labels[:, DECLINE], end), end], axis=1)


@dataclass(frozen=True, eq=False)
class ChartModel:
    """A loaded chart model."""

    id: str
    ensemble: Ensemble

    def predict(self, images: Images) -> Floats:
        """Percentages (n, 3), named by `NAMES`, over the next 30 candles against the last close.

        Args:
            images: (n, 200, 150, 3) of 0 and 1.

        Raises:
            PredictionError: the model's output is not usable.
        """
        predicted = [
            member.checked(cast("ChartImageModel", member.model).predict_images(images), len(images))
            for member in self.ensemble.members
        ]
        return coherent_changes(self.ensemble.mean(predicted))


def load_chart_model(store: Store, identity: str) -> ChartModel:
    """A saved chart model.

    Raises:
        StoreError: there is no such model, or it is of another kind.
    """
    case, ensemble, _ = load_model(store, identity)
    if (case.model, case.target, case.lags) != (FAMILY, TARGET, LAGS):
        raise StoreError(
            f"Model {identity} is {case.model} for {case.target}, which cannot serve charts. Make one that can: "
            "`candleworks chart-model`."
        )
    return ChartModel(identity, ensemble)


def pack(images: Images) -> npt.NDArray[np.uint8]:
    """Images (n, 200, 150, 3) as (n, 11250) bytes of eight pixels each, in C order."""
    return np.packbits(images.reshape(len(images), -1), axis=1)


def unpack(packed: npt.NDArray[np.uint8]) -> Images:
    """The reverse of `pack`."""
    return np.unpackbits(packed, axis=1).reshape(len(packed), *SHAPE)


def draw_charts(candles: npt.NDArray[Any]) -> Images:
    """Images (n, 200, 150, 3) of windows (n, 200, 5) of open, high, low, close and volume, oldest first."""
    # Imported here: it loads Keras, which programs without a chart model do not need.
    from ml.networks.charts import chart_rows, draw  # noqa: PLC0415

    images: Images = draw(np, chart_rows(candles)).astype(np.uint8)
    return images
