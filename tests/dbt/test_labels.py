"""Every label of every row on real candles, against loops written from the definitions in fct_labels.yml."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from built import Built, Table

from flows.warehouse.export import export_dataset
from ml.data.targets import TARGETS
from ml.series import Series

#: Labels of a kind -> how many candles after the row they need, and how many before it.
NEEDS = {
    "label": (1, 0),
    "closes": (100, 0),
    "summary": (30, 0),
    "highlow2": (24, 0),
    "topbot2": (48, 48),
    "trade": (1, 0),
}
KIND = {
    "label_high": "label",
    "label_low": "label",
    "label_close": "label",
    "label_closes": "closes",
    "label_max_rise_pct": "summary",
    "label_max_decline_pct": "summary",
    "label_end_change_pct": "summary",
    "label_high_first": "highlow2",
    "label_low_first": "highlow2",
    "label_top": "topbot2",
    "label_bottom": "topbot2",
    "label_trade": "trade",
}


class Candles:
    """The time grid of a series: prices by row, NaN on a gap."""

    def __init__(self, table: Table) -> None:
        self.high, self.low, self.close = (table[name].astype(float) for name in ("high", "low", "close"))
        self.close_time = table["close_time"]
        self.rows = [t for t, is_gap in enumerate(table["is_gap"]) if not is_gap]

    def known(self, t: int, kind: str) -> bool:
        after, before = NEEDS[kind]
        first, last = t - before, t + after
        return first >= 0 and last < len(self.close) and not np.isnan(self.close[first : last + 1]).any()

    def is_top(self, u: int, sign: int) -> bool:
        """Whether u is a top; with sign -1 whether it is a bottom."""
        close, h = sign * self.close, 24
        if u < h or u + h >= len(close):
            return False
        level = close[u] - 0.02 * self.close[u]
        falls = [any(close[v] <= level for v in side) for side in (range(u - h, u), range(u + 1, u + h + 1))]
        return all(falls) and all(close[v] <= close[u] for v in range(u - h, u + h + 1))

    def first_high(self, t: int, price: float) -> float:
        """The first of the 24 candles after t that reaches up to a price, infinity if none does."""
        return next((float(k) for k in range(t + 1, t + 25) if self.high[k] >= price), math.inf)

    def first_low(self, t: int, price: float) -> float:
        return next((float(k) for k in range(t + 1, t + 25) if self.low[k] <= price), math.inf)


def _near(c: Candles, turns: list[int], t: int, sign: int) -> bool:
    for u in turns:
        if abs(u - t) <= 24:
            floor = sign * c.close[u] - 0.1 * 0.02 * c.close[u]
            if all(sign * c.close[v] >= floor for v in range(min(t, u), max(t, u) + 1)):
                return True
    return False


def _labels(c: Candles, t: int, tops: list[int], bottoms: list[int]) -> dict[str, Any]:
    now = c.close[t]
    found: dict[str, Any] = {}
    if c.known(t, "label"):
        change = c.close[t + 1] / now - 1
        found |= {f"label_{name}": math.log(getattr(c, name)[t + 1] / now) for name in ("high", "low", "close")}
        found["label_trade"] = 0 if abs(change) < 0.005 else math.copysign(1, change)
    if c.known(t, "closes"):
        found["label_closes"] = [math.log(c.close[t + k] / now) for k in range(1, 101)]
    if c.known(t, "summary"):
        found["label_max_rise_pct"] = 100 * (max(c.high[t + k] for k in range(1, 31)) / now - 1)
        found["label_max_decline_pct"] = 100 * (min(c.low[t + k] for k in range(1, 31)) / now - 1)
        found["label_end_change_pct"] = 100 * (c.close[t + 30] / now - 1)
    if c.known(t, "highlow2"):
        found["label_high_first"] = c.first_high(t, now * 1.03) < c.first_low(t, now * 0.994)
        found["label_low_first"] = c.first_low(t, now * 0.97) < c.first_high(t, now * 1.006)
    if c.known(t, "topbot2"):
        found["label_top"], found["label_bottom"] = _near(c, tops, t, 1), _near(c, bottoms, t, -1)
    return found


def oracle(table: Table) -> dict[str, npt.NDArray[np.float64]]:
    """All labels of the candles that are there; NaN where unknown."""
    c = Candles(table)
    tops, bottoms = ([u for u in c.rows if c.is_top(u, sign)] for sign in (1, -1))
    labels = {name: np.full((len(c.rows), 100) if name == "label_closes" else len(c.rows), np.nan) for name in KIND}
    for row, t in enumerate(c.rows):
        for name, value in _labels(c, t, tops, bottoms).items():
            labels[name][row] = value
    return labels


@pytest.mark.parametrize("timeframe", ["1h", "4h"])
def test_every_label_of_every_row_equals_its_definition(built: Built, timeframe: str) -> None:
    labels = built.table("first", "fct_labels", "FULL", timeframe)
    expected = oracle(built.table("first", "fct_candles", "FULL", timeframe))
    for name, values in expected.items():
        np.testing.assert_allclose(labels[name].astype(float), values, rtol=1e-9, atol=1e-12, err_msg=name)
        # a label that is the same everywhere, or known everywhere, would prove little
        assert len(np.unique(values[~np.isnan(values)])) >= 2, name
        assert np.isnan(values[:-100]).any(), f"{name}: no gap within"


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_labels_are_known_at_the_close_of_the_last_candle_that_they_need(built: Built, timeframe: str) -> None:
    labels = built.table("first", "fct_labels", "FULL", timeframe)
    candles = Candles(built.table("first", "fct_candles", "FULL", timeframe))
    for kind, (after, _) in NEEDS.items():
        expected = [
            candles.close_time[t + after] if candles.known(t, kind) else np.datetime64("NaT") for t in candles.rows
        ]
        np.testing.assert_array_equal(labels[f"{kind}_available_at"], expected, err_msg=kind)
    for name, kind in KIND.items():
        unknown = np.isnan(labels[name].astype(float).reshape(len(candles.rows), -1))
        np.testing.assert_array_equal(unknown.any(axis=1), unknown.all(axis=1), err_msg=name)
        np.testing.assert_array_equal(unknown.all(axis=1), np.isnat(labels[f"{kind}_available_at"]), err_msg=name)


def test_the_next_100_closes_begin_with_the_next_close(built: Built) -> None:
    labels = built.table("first", "fct_labels", "FULL", "1h")
    assert labels["label_closes"].shape == (3900, 100)
    known = ~np.isnan(labels["label_closes"][:, 0])
    assert known.sum() > 2000
    np.testing.assert_array_equal(labels["label_closes"][known, 0], labels["label_close"].astype(float)[known])


def test_a_label_that_is_known_stays_when_candles_come_and_the_others_follow(built: Built) -> None:
    early, whole = (built.table(stage, "fct_labels", "TAIL", "1h") for stage in ("first", "third"))
    for name, kind in KIND.items():
        before, after = (table[name].astype(float) for table in (early, whole))
        known = ~np.isnan(before)
        np.testing.assert_array_equal(before[known], after[: len(before)][known], err_msg=name)
        # the rows at the end of the 2,940 candles did not know theirs yet; with 60 more all but those of the last do
        ahead, late = NEEDS[kind][0], np.isnan(before.reshape(3840, -1)[:, 0])
        assert late[3840 - ahead :].all()
        assert not late[3840 - ahead - 1]
        assert not np.isnan(after[2999 - ahead]).any()


def test_a_query_pays_only_for_the_labels_that_it_selects(built: Built) -> None:
    def plan(columns: str) -> str:
        with built.warehouse.connect() as connection:
            rows = connection.execute(f"EXPLAIN (FORMAT json) SELECT {columns} FROM marts.fct_labels").fetchall()
        return str(rows[0][1])

    narrow, wide = plan("label_high, label_low, label_close, label_trade"), plan("*")
    # columns on the way to label_closes, label_high_first and label_top
    for column in ("label_closes", "next_highs", "tops_ahead", "tops"):
        assert f'{column}"' not in narrow
        assert f'{column}"' in wide


def test_the_export_hands_the_labels_of_every_target_to_the_workers(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = Series(exchange="test", symbol="FULL/USDT", timeframe="1h")
    groups = {"rsi_14": "rsi"}
    with built.warehouse.connect() as connection:
        narrow = export_dataset(connection, series, groups)
        monkeypatch.setitem(TARGETS, "closes_100", dataclasses.replace(TARGETS["closes_100"], timeframes=("1h",)))
        wide = export_dataset(connection, series, groups)
    assert "closes_100" not in narrow.targets  # only at 5m
    assert narrow.labels.shape == (3900, 11)
    labels = built.table("full_refresh", "fct_labels", "FULL", "1h")
    for name, target in TARGETS.items():
        expected = np.column_stack([labels[column].astype(float) for column in target.columns])
        np.testing.assert_array_equal(wide.labels_of(name), expected, err_msg=name)
    assert wide.labels_of("closes_100").shape == (3900, 100)


def test_labels_are_made_of_as_many_candles_as_their_horizon_says(built: Built) -> None:
    labels = built.table("full_refresh", "fct_labels", "FULL", "1h")
    hour = np.timedelta64(1, "h")
    for name, target in TARGETS.items():
        ahead = (labels[target.available_at] - labels["open_time"]) / hour - 1
        assert np.nanmax(ahead) == np.nanmin(ahead) == target.horizon, name
    assert TARGETS["closes_100"].horizon == TARGETS["closes_100"].entries
