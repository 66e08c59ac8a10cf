"""Loads from exchanges that answer anything: the same examples each time. `make drill` plays 20,000 others."""

from __future__ import annotations

import pytest

from ml.timeframes import HOUR_MS, utc_ms
from tests.exchange_fuzz import check, oracle
from tests.exchange_fuzz.families import FAMILIES
from tests.exchange_fuzz.mutations import KINDS
from tests.exchange_fuzz.oracle import BrokenPromise, Truth
from tests.flows.ingestion.walks import walk

#: As many as take a minute; each exchange, each kind of mutation and each end of a load is among them.
EXAMPLES = 350


@pytest.mark.warehouse  # thousands of loads
@pytest.mark.timeout(1200)
def test_loads_keep_their_promises_whatever_an_exchange_answers() -> None:
    tally = check(EXAMPLES, 0)
    assert tally.families.keys() == FAMILIES.keys()
    assert tally.kinds.keys() == KINDS.keys()
    assert {"ok", "partial", "failed", "no time", "healed ok"} <= tally.ends.keys()


NOW_MS = utc_ms("2024-01-01T04:30")


@pytest.fixture
def truth() -> Truth:
    return Truth.of(walk("2024-01-01", 6), HOUR_MS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [*rows, rows[-1]], "stored twice"),
        (lambda rows: [(time + 1, row) for time, row in rows], "never was"),
        (lambda rows: [(rows[0][0], (*rows[0][1][:4], 1.0))], "the truth is"),
    ],
)
def test_the_oracle_sees_what_is_no_truth(change, words: str, truth: Truth) -> None:  # type: ignore[no-untyped-def]
    rows = list(truth.closed(NOW_MS).items())
    oracle.check_stored(rows, truth, NOW_MS)
    with pytest.raises(BrokenPromise, match=words):
        oracle.check_stored(change(rows), truth, NOW_MS)
    with pytest.raises(BrokenPromise, match="open candle"):
        oracle.check_stored(rows, truth, NOW_MS - HOUR_MS)
