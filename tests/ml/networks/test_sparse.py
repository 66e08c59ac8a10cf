"""Ten outputs stand for a path of a hundred candles."""

from __future__ import annotations

import numpy as np

from ml.networks.sparse import sparse_indexes, through_points


def test_ten_points_of_a_hundred_are_every_eleventh() -> None:
    assert sparse_indexes(100, 10).tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]


def test_the_points_are_met_exactly_and_lines_run_between_them() -> None:
    values = np.random.default_rng(0).normal(size=(50, 10)) * 1e-3
    paths = through_points(values, 100)
    assert paths.shape == (50, 100)
    np.testing.assert_array_equal(paths[:, ::11], values)
    # Step 14 lies three elevenths of the way from step 11 to step 22.
    np.testing.assert_allclose(paths[:, 14], values[:, 1] + 3 / 11 * (values[:, 2] - values[:, 1]), rtol=1e-12)
