"""What holds for the gate on any frame of numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations import suite
from expectations.gate import check_batch
from expectations.measures import measure
from expectations.report import GateLimits
from ml.timeframes import HOUR_MS
from tests.expectations.frames import HOURLY, START_MS, candles, plain_broken_rows

NEVER = GateLimits(stop_share=1.0, stop_rows=10**9)
PRICES = ["open", "high", "low", "close"]
NOW_MS = START_MS + 60 * HOUR_MS

ODD = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    100.0,
    1e3,
    np.nan,
    np.inf,
    -np.inf,
    1e308,
    -1e308,
    5e-324,
    1e-13,
    1e-14,
    1e13,
    1e14,
    1e300,
]
numbers = st.sampled_from(ODD) | st.floats() | st.floats(50, 200)
hours = st.integers(0, 40) | st.integers(-100, 100)


@st.composite
def wild(draw: st.DrawFn) -> pd.DataFrame:
    """Any rows at all: unsorted, repeated, without times, off the time grid, absurd."""
    size = draw(st.integers(0, 15))
    opens = [START_MS + draw(hours) * HOUR_MS + draw(st.sampled_from([0, 0, 0, 0, 60_000])) for _ in range(size)]
    times = pd.Series(pd.to_datetime(np.array(opens, dtype="int64"), unit="ms", utc=True))
    times[[place for place in range(size) if draw(st.integers(0, 15)) == 0]] = pd.NaT
    columns = {name: [draw(numbers) for _ in range(size)] for name in (*PRICES, "volume")}
    frame = pd.DataFrame({"open_time": times, **{name: pd.Series(v, dtype=float) for name, v in columns.items()}})
    if draw(st.booleans()):
        frame["quote_volume"] = pd.Series([draw(numbers) for _ in range(size)], dtype=float)
    return frame


@st.composite
def nearly_sound(draw: st.DrawFn) -> pd.DataFrame:
    """A market with quiet candles, leaps, bad ticks, gaps and copies."""
    size = draw(st.integers(1, 30))
    frame = candles(size, seed=draw(st.integers(0, 5)))
    some = st.lists(st.integers(0, size - 1), max_size=8)
    for row in draw(some):
        price = draw(st.sampled_from([frame.loc[max(row - 1, 0), "close"], 100.0, 300.0]))
        frame.loc[row, PRICES] = price
        frame.loc[row, "volume"] = 0.0
    for row in draw(some):
        columns = draw(st.sampled_from([PRICES, ["open"], ["close"], ["high"], ["low"], ["volume"]]))
        frame.loc[row, columns] *= draw(st.sampled_from([1e-12, 0.01, 0.3, 0.45, 2.5, 11.0, 1e3, 1e12, -1.0, np.nan]))
        if draw(st.booleans()):
            frame.loc[row, "high"] = frame.loc[row, PRICES].max()
            frame.loc[row, "low"] = frame.loc[row, PRICES].min()
    for row in draw(some):  # a level that stays
        if draw(st.integers(0, 3)) == 0:
            frame.loc[row:, PRICES] *= draw(st.sampled_from([0.01, 0.4, 2.5, 30.0]))
    frame = pd.concat([frame, frame.iloc[draw(some)]]).drop(index=draw(some))
    return frame.iloc[draw(st.permutations(range(len(frame))))] if draw(st.booleans()) else frame


def whole_rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return sorted(tuple(map(repr, row)) for row in frame.itertuples(index=False))


@pytest.mark.parametrize("frames", [wild(), nearly_sound()], ids=["wild", "nearly sound"])
def test_any_frame_is_divided_once_and_what_is_good_stays_good(
    frames: st.SearchStrategy[pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.gate.broken_rows", plain_broken_rows)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(frame=frames, earlier=st.integers(0, 20), referred=st.integers(0, 3).map(lambda number: number == 0))
    def divides(frame: pd.DataFrame, earlier: int, referred: bool) -> None:
        previous = candles(earlier, start_ms=START_MS - earlier * HOUR_MS) if earlier else None
        reference = candles(60, start_ms=START_MS - 20 * HOUR_MS, seed=9) if referred else None
        frame = frame.assign(number=np.arange(len(frame)))  # tells rows apart that are equal
        report = check_batch(frame, HOURLY, NOW_MS, previous, reference, NEVER)
        if report.stopped:  # nothing good at all
            assert report.good.empty and len(report.quarantined) == len(frame)
            return
        both = pd.concat([report.good, report.quarantined[list(frame)]])
        assert whole_rows(both) == whole_rows(frame)
        assert report.good["open_time"].is_monotonic_increasing and report.good["open_time"].is_unique
        assert (report.quarantined["rule"] != "").all() and (report.quarantined["detail"] != "").all()
        again = check_batch(report.good, HOURLY, NOW_MS, previous, reference, NEVER)
        assert again.quarantined["rule"].tolist() == []
        pd.testing.assert_frame_equal(again.good, report.good)
        for check in report.checks:
            assert 0 <= check.rows_failed <= check.rows_checked <= len(frame)
            assert check.success == (check.rows_failed == 0)
            assert check.state == (
                "failed" if check.rows_failed else "passed" if check.rows_checked else "not applicable"
            )

    divides()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=wild() | nearly_sound())
def test_great_expectations_and_plain_pandas_agree(frame: pd.DataFrame) -> None:
    measured = measure(frame, HOURLY, NOW_MS, None, None, NEVER).frame
    if len(measured):
        found, expected = suite.broken_rows(measured), plain_broken_rows(measured)
        assert {rule: rows.tolist() for rule, rows in found.items()} == {r: v.tolist() for r, v in expected.items()}
