"""Sparse outputs: a long path as a few points, and its reconstruction by linear interpolation.

Source: the published description of Taoshi's time-series stream (10 outputs for 100 closes, linear between them).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def sparse_indexes(length: int, points: int) -> npt.NDArray[np.int64]:
    """Indexes of `points` steps spread evenly over a path, including first and last: 0, 11, ..., 99 for 10 of 100."""
    return np.round(np.linspace(0, length - 1, points)).astype(np.int64)


def through_points(values: Floats, length: int) -> Floats:
    """Paths (n, length) by linear interpolation between values (n, points), which are reproduced exactly."""
    indexes = sparse_indexes(length, values.shape[1])
    steps = np.arange(length)
    weights = np.stack([np.interp(steps, indexes, unit) for unit in np.eye(values.shape[1])])
    paths: Floats = values @ weights
    # A matrix product may round differently.
    paths[:, indexes] = values
    return paths
