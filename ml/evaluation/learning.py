"""Rows to learn from: those of the case's own market and, for a pooled case, those of the other markets by then.

A row of another market takes part if it is no later than the last row of the own market. Its label describes the next
candle there too, so nothing is learnt from a candle that had not closed when the own labels were known.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ml.data.targets import Floats
from ml.evaluation.forecaster import inputs_of_member
from ml.evaluation.preparation import PreparedCase
from ml.metrics.scorer import Rows
from ml.models.base import Inputs
from ml.search.cases import TestCase


def rows_to_learn(
    prepared: PreparedCase, rows: Rows, member: TestCase | None = None
) -> tuple[Inputs, Floats, Floats | None]:
    """What a case, or a member of an ensemble case, learns from.

    Args:
        prepared: the case.
        rows: (m,) of its own market.
        member: of an ensemble case; None for a single case.

    Returns:
        Windows (n, lags, f), labels (n, k) and weights (n,), or None for equal ones, in time order.

    Raises:
        CaseError: the dataset of another market lacks features.
    """
    markets = list(_markets(prepared, rows, member or prepared.case))
    inputs = [market.windows_at(these) for market, these in markets]
    if member is not None:
        columns = prepared.case.member_columns(member)
        inputs = [inputs_of_member(windows, member, columns) for windows in inputs]
    labels = [market.labels[these] for market, these in markets]
    weights = [found for market, these in markets if (found := market.weights_at(these, member)) is not None]
    if len(markets) == 1:
        return inputs[0], labels[0], weights[0] if weights else None
    times = np.concatenate([market.dataset.open_time_ms[these] for market, these in markets])
    order = np.argsort(times, kind="stable")
    weighting = np.concatenate(weights)[order] if weights else None
    return np.concatenate(inputs)[order], np.concatenate(labels)[order], weighting


def _markets(prepared: PreparedCase, rows: Rows, case: TestCase) -> Iterator[tuple[PreparedCase, Rows]]:
    yield prepared, rows
    if case.pool is None:
        return
    times = prepared.dataset.open_time_ms
    for other in prepared.others:
        theirs = np.flatnonzero(other.usable & (other.dataset.open_time_ms <= times[rows[-1]]))
        if case.train_rows is not None:
            theirs = theirs[other.dataset.open_time_ms[theirs] >= times[rows[0]]]
        if len(theirs):
            yield other, theirs
