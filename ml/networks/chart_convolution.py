"""The first convolution of the chart network, straight from the positions of the candles: no image is drawn.

A column of an image is one run of pixels per channel, so that the part of a column under a 5 x 5 kernel is one of 15
runs or none. The sums of the kernel over each of these runs are looked up: an output of the convolution is a sum of at
most 15 table rows instead of 75 products. The result equals that of drawing and convolving up to rounding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.machine_code import machine_code
from ml.networks.charts import PICTURE

#: Of the kernel, and of its steps; the padding before the first pixel is that of "same".
SIZE, STRIDE, BEFORE = 5, 2, 1
Floats32 = npt.NDArray[np.float32]


def first_convolution(places: Floats32, kernel: Floats32, bias: Floats32) -> Floats32:
    """Outputs of a convolution with "same" padding, stride 2 and relu over the images of windows.

    Args:
        places: positions (n, lags, 5) of `ml.networks.charts.chart_rows`.
        kernel: (5, 5, 3, channels) over columns, rows and channels of the image.
        bias: (channels,).

    Returns:
        (n, columns / 2, rows / 2, channels).
    """
    columns, rows = PICTURE
    candle = np.arange(columns) * places.shape[1] // columns
    found = np.empty((len(places), columns // STRIDE, rows // STRIDE, len(bias)), np.float32)
    machine_code(_convolve)(places.astype(np.int16), candle, _runs(kernel), bias, found)
    return found


def _runs(kernel: Floats32) -> Floats32:
    """(5, 3, 5, 5, channels): per kernel column and channel, the sum over its rows from first to last."""
    size = len(kernel)
    table = np.zeros((size, kernel.shape[2], size, size, kernel.shape[3]), np.float32)
    for first in range(size):
        for last in range(first, size):
            table[:, :, first, last] = kernel[:, first : last + 1].sum(axis=1)
    return table


def _convolve(places, candle, table, bias, found):  # type: ignore[no-untyped-def] # noqa: PLR0914 - see machine_code
    """Fill `found`; places are whole numbers, -1 as the top of a volume that is not drawn."""
    n, wide, high, channels = found.shape
    for image in range(n):
        for x in range(wide):
            for y in range(high):
                for k in range(channels):
                    found[image, x, y, k] = bias[k]
            for c in range(5):
                column = 2 * x - 1 + c
                if 0 <= column < candle.shape[0]:
                    place = places[image, candle[column]]
                    for channel in range(3):
                        low = 0 if channel == 2 else place[2 * channel]
                        top = place[4] if channel == 2 else place[2 * channel + 1]
                        # Outputs whose five rows, from 2 y - 1 on, meet low..top; none where top is -1.
                        for y in range(max(0, (low - 2) // 2), min(high, (top + 1) // 2 + 1)):
                            start = 2 * y - 1
                            first, last = max(0, low - start), min(4, top - start)
                            if first <= last:
                                for k in range(channels):
                                    found[image, x, y, k] += table[c, channel, first, last, k]
            for y in range(high):
                for k in range(channels):
                    found[image, x, y, k] = max(found[image, x, y, k], np.float32(0))
