"""Gram matrices: one pass over the rows of a table, from which the ridge regression on any of its columns follows.

The normal equations of a ridge regression need the rows only through the products of the centred columns with each
other and with the labels. Those of a subset of the columns are a part of those of all, so that every further subset
and penalty is a small system of equations.

Source: Golub and Van Loan, Matrix Computations (2013), section 5.3 (normal equations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from ml.models.base import Floats, Inputs

#: Rows of a block: its float64 copy fits a processor's cache.
BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Gram:
    """Weighted sums over the rows of a table with f columns and k labels.

    Attributes:
        rows: number of rows n.
        lags: of the windows that the rows are, flattened; 1 for other rows.
        means: (f,) of the columns.
        label_means: (k,).
        products: (f, f) of the centred columns.
        label_products: (f, k) of the centred columns with the centred labels.
    """

    rows: int
    means: Floats
    label_means: Floats
    products: Floats
    label_products: Floats
    lags: int = 1

    @property
    def nbytes(self) -> int:
        """Memory of the matrices."""
        return self.products.nbytes + self.label_products.nbytes + self.means.nbytes

    @classmethod
    def of(cls, table: Inputs, labels: Floats, weights: Floats | None = None, lags: int = 1) -> Gram:
        """Sum over the rows.

        Args:
            table: (n, f).
            labels: (n, k).
            weights: (n,) of the rows; None for equal ones.
            lags: see the attributes.
        """
        n, f = table.shape
        weighting = np.ones(n) if weights is None else weights
        blocks = [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
        means = np.sum([weighting[block] @ table[block].astype(np.float64) for block in blocks], axis=0)
        means /= weighting.sum()
        label_means = np.average(labels, axis=0, weights=weights)
        # Centred before they are multiplied: differences of large sums would lose digits.
        products, label_products = np.zeros((f, f)), np.zeros((f, labels.shape[1]))
        for block in blocks:
            root = np.sqrt(weighting[block])[:, None]
            centred = (table[block] - means) * root
            products += centred.T @ centred
            label_products += centred.T @ ((labels[block] - label_means) * root)
        return cls(n, means, label_means, products, label_products, lags)

    def ridge(self, columns: Sequence[int], penalty: float) -> tuple[Floats, Floats]:
        """The ridge regression on some columns.

        Args:
            columns: c of the f columns.
            penalty: of the squared weights.

        Returns:
            Weights (k, c) and intercepts (k,).

        Raises:
            numpy.linalg.LinAlgError: the columns are collinear, and the penalty is too small to make up for it.
        """
        places = np.asarray(columns)
        system = self.products[np.ix_(places, places)]
        system.flat[:: len(places) + 1] += penalty
        _, solved, failed = lapack.dposv(system.T, self.label_products[places])
        if failed:
            raise np.linalg.LinAlgError("collinear columns")
        weights: Floats = solved.T
        return weights, self.label_means - weights @ self.means[places]
