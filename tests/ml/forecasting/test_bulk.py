"""Bulk inference: whole windows only, and figures equal to one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml.forecasting.bulk import columns_of, in_quote, predicted, whole_rows
from tests.synthetic import make_case

HOUR = 3_600_000


def test_windows_end_at_rows_with_enough_gapless_known_rows() -> None:
    times = np.array([0, 1, 2, 3, 5, 6, 7, 8, 9], dtype=np.int64) * HOUR  # hour 4 is missing
    inputs = np.ones((9, 2), dtype=np.float32)
    inputs[6, 1] = np.nan  # hour 7
    assert whole_rows(times, inputs, 3, HOUR).tolist() == [2, 3]
    assert whole_rows(times, inputs, 2, HOUR).tolist() == [1, 2, 3, 5, 8]
    assert whole_rows(times, inputs, 1, HOUR).tolist() == [0, 1, 2, 3, 4, 5, 7, 8]
    assert whole_rows(times, inputs, 5, HOUR).tolist() == []


class LastSum:
    """Predicts the sum of a window."""

    def predict(self, inputs: Any) -> Any:
        return inputs.astype(np.float64).sum(axis=(1, 2))[:, None]


def test_rows_in_bulk_are_those_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.forecasting.bulk.ROWS_AT_ONCE", 7)
    inputs = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    rows = np.array([4, 5, 9, *range(12, 40)])
    model: Any = LastSum()
    found = predicted(model, inputs, rows, 5)
    single = [model.predict(inputs[None, row - 4 : row + 1])[0] for row in rows]
    np.testing.assert_allclose(found, single, atol=1e-6)


def test_candles_are_in_quote_units_and_other_targets_as_they_are() -> None:
    labels = np.array([[0.01, -0.01, 0.0]])
    closes = np.array([200.0])
    case = make_case()
    assert tuple(columns_of(case)) == ("high", "low", "close")
    np.testing.assert_allclose(in_quote(case, labels, closes), [[200 * np.exp(0.01), 200 * np.exp(-0.01), 200.0]])
    summary = make_case(target="horizon_summary_30")
    assert list(columns_of(summary)) == ["max_rise_pct", "max_decline_pct", "end_change_pct"]
    np.testing.assert_array_equal(in_quote(summary, labels, closes), labels)
    classes = make_case(target="trade", model="logistic")
    assert list(columns_of(classes)) == ["probability_sell", "probability_hold", "probability_buy"]
