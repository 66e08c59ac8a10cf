"""Images of candles: 200 columns of time by 150 rows of price, one channel each for body, range and volume.

Images are never stored. A window is kept as the image rows at which its candles begin and end, lags x 5 small integers;
the 90,000 binary pixels are drawn from them by comparison with the row index, one batch at a time. The comparison is
between whole numbers, so that NumPy and every backend draw identical pixels.

Prices are scaled by the window's own lowest low and highest high, the volume by its own largest volume, so that an
image has no information from outside its window.

Source: the published description of Coinfarm's input (open-close, low-high, volume; 200 x 150 x 3, binary).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ml.data.candle_columns import CLOSE, HIGH, LOW, OPEN, VOLUME

#: Columns (time) and rows (price, the lowest first) of an image.
PICTURE = (200, 150)


def chart_rows(candles: npt.NDArray[Any], rows: int = PICTURE[1]) -> npt.NDArray[np.float32]:
    """Positions of the candles of windows in their images.

    Args:
        candles: windows (n, lags, 5) of open, high, low, close, volume.
        rows: resolution of the price.

    Returns:
        (n, lags, 5) whole numbers from 0 to rows - 1: bottom and top of the body, bottom and top of the range, top of
        the volume, which is -1 (not drawn) if no volume was traded.
    """
    bottom, top = window_bounds(candles)
    span = np.where(top > bottom, top - bottom, 1.0)[:, None, None]
    place = np.floor((candles[:, :, :VOLUME] - bottom[:, None, None]) / span * (rows - 1))
    volume = candles[:, :, VOLUME]
    most = volume.max(axis=1, keepdims=True)
    height = np.where(volume > 0, np.floor(volume / np.where(most > 0, most, 1) * (rows - 1)), -1)
    body = place[:, :, [OPEN, CLOSE]]
    return np.stack([body.min(axis=2), body.max(axis=2), place[:, :, LOW], place[:, :, HIGH], height], axis=2).astype(
        np.float32
    )


def window_bounds(candles: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lowest low and highest high (n,) of windows (n, lags, 5)."""
    return candles[:, :, LOW].min(axis=1).astype(np.float64), candles[:, :, HIGH].max(axis=1).astype(np.float64)


def draw(xp: Any, places: Any, columns: int = PICTURE[0], rows: int = PICTURE[1]) -> Any:
    """Binary images (n, columns, rows, 3) from the positions (n, lags, 5) of `chart_rows`.

    Args:
        xp: array module, `numpy` or `keras.ops`.
        places: positions, an array or tensor of xp.
        columns: of the image; a candle is columns / lags wide.
        rows: as in `chart_rows`.
    """
    row = xp.arange(rows, dtype="float32")
    edge = [places[:, :, i, None] for i in range(5)]
    channels = [
        (row >= edge[0]) & (row <= edge[1]),
        (row >= edge[2]) & (row <= edge[3]),
        row <= edge[4],
    ]
    candle_of_column = np.arange(columns) * places.shape[1] // columns
    return xp.take(xp.stack(channels, axis=3), candle_of_column, axis=1)


@keras.saving.register_keras_serializable(package="candleworks")
class Chart(keras.layers.Layer):  # type: ignore[misc]
    """Draws the images of a batch; has no weights."""

    def __init__(self, columns: int, rows: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.columns, self.rows = columns, rows

    def call(self, places: Any) -> Any:
        return keras.ops.cast(draw(keras.ops, places, self.columns, self.rows), self.compute_dtype)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], self.columns, self.rows, 3)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns, "rows": self.rows}
