"""What the checks of a rehearsal find: each is shown records that hold and records that do not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.replay import Fault, SimulatedCandles
from flows.simulation.checks import Candles, Check, check_notices, check_rehearsal
from flows.simulation.plan import Plan
from ml.forecasting.chain import Chain
from ml.series import Series
from ml.store import Store
from ml.timeframes import DAY_MS, HOUR_MS, MINUTE_MS

MIDNIGHT_MS = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp() * 1000)
SERIES = Series(exchange="simulated", symbol="BTC/USDT", timeframe="4h")
OPENS = [MIDNIGHT_MS + 4 * number * HOUR_MS for number in range(7)]
#: Hidden from minute 1 of 08:00 to minute 1 of 12:00: the candle of 04:00 is incomplete when that of 08:00 opens.
GAP = Fault(
    kind="gap",
    from_ms=OPENS[2] + MINUTE_MS,
    until_ms=OPENS[3] + MINUTE_MS,
    start_ms=OPENS[2] - HOUR_MS,
    end_ms=OPENS[2],
)


def _candles(*faults: Fault) -> Candles:
    source = SimulatedCandles(["BTC/USDT"], "1h", MIDNIGHT_MS - DAY_MS, 72, seed=1)
    return Candles(source, Plan((), faults), "1h")


def _body(open_ms: int, late: bool = False) -> dict[str, Any]:
    time = datetime.fromtimestamp(open_ms / 1000, UTC).isoformat()
    return {**SERIES.model_dump(), "target_open_time": time, "late": late}


def _live(store: Store, opens: list[int], late: tuple[int, ...] = (), unscored: tuple[int, ...] = ()) -> None:
    """A forecast for each candle, and a score for each but the last and those that shall have none."""
    for open_ms in opens:
        record = Chain(store, "forecasts").append(_body(open_ms, open_ms in late))
        if open_ms != OPENS[-1] and open_ms not in unscored:
            Chain(store, "scores").append({"forecast_hash": record["hash"]})


def _check(store: Store, *faults: Fault) -> dict[str, Check]:
    found = check_rehearsal(store, [SERIES], (OPENS[0], OPENS[-1]), OPENS[-1] + MINUTE_MS, _candles(*faults))
    return {check.name: check for check in found}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_a_day_in_which_all_went_well_holds(store: Store) -> None:
    _live(store, OPENS)

    checks = _check(store)

    assert all(check.holds for check in checks.values())
    assert checks["one forecast per candle"].detail == "7 candles, 7 forecasts"
    assert checks["all scored"].detail == "6 scored, 1 candles still open, 0 gaps"


def test_a_missing_forecast_is_named(store: Store) -> None:
    _live(store, [open_ms for open_ms in OPENS if open_ms != OPENS[2]])

    check = _check(store)["one forecast per candle"]

    assert not check.holds
    assert "missing: BTC/USDT 4h 2024-05-01T08:00" in check.detail


def test_a_candle_with_two_forecasts_is_named(store: Store) -> None:
    _live(store, [*OPENS, OPENS[3]])

    check = _check(store)["one forecast per candle"]

    assert not check.holds
    assert "twice or not requested: BTC/USDT 4h 2024-05-01T12:00" in check.detail


def test_a_late_forecast_is_named(store: Store) -> None:
    _live(store, OPENS, late=(OPENS[2],))

    check = _check(store)["none late"]

    assert not check.holds
    assert check.detail == "1 late: BTC/USDT 4h 2024-05-01T08:00"


def test_a_forecast_of_a_closed_candle_without_a_score_is_found(store: Store) -> None:
    _live(store, OPENS, unscored=(OPENS[1],))

    check = _check(store)["all scored"]

    assert not check.holds
    assert "1 due: BTC/USDT 4h 2024-05-01T04:00" in check.detail


def test_a_candle_that_the_exchange_never_showed_needs_no_score(store: Store) -> None:
    for_ever = GAP.model_copy(update={"until_ms": None})
    _live(store, OPENS, unscored=(OPENS[1],))

    check = _check(store, for_ever)["all scored"]

    assert check.holds
    assert check.detail == "5 scored, 1 candles still open, 1 gaps"


def test_a_second_score_needs_a_revision(store: Store) -> None:
    _live(store, OPENS)
    scores = Chain(store, "scores")
    first = next(iter(scores.records()))["body"]

    scores.append({**first, "revision": 1})
    assert _check(store)["none scored twice"].detail == "0 twice, 1 restated after a revised candle"

    scores.append(first)
    assert not _check(store)["none scored twice"].holds


def test_a_chain_that_was_edited_is_named(store: Store) -> None:
    _live(store, OPENS)
    path = store.list("forecasts")[2]
    store.replace(path, store.read(path).replace(b'"late":false', b'"late":true '))

    check = _check(store)["forecasts verify"]

    assert not check.holds
    assert f"{path} is the first bad record" in check.detail


def test_a_notice_that_is_missing_or_repeated_is_found() -> None:
    records: list[Any] = [{"event": name} for name in ("a", "b")]
    lines = ['{"id": "a"}', '{"id": "b"}']
    assert check_notices(records, lines) == Check("each notice once", True, "2 messages")
    assert check_notices([], []).holds
    for wrong, name in ((lines[:1], "b"), ([*lines, lines[0]], "a"), ([*lines, '{"id": "c"}'], "c")):
        assert check_notices(records, wrong) == Check("each notice once", False, f"not once: {name}")
