"""A replayed day with all faults of a plan, ingest only: what is stored is what the exchange shows in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.ingestion.exchange import Exchange, exchange_time_ms
from flows.ingestion.ingest import ingest_market
from flows.ingestion.stored import stored_candles
from flows.replay import ReplayClock, ReplayServer, SimulatedCandles
from flows.simulation.plan import DATA_KINDS, STALL_SECONDS, disturbed, live_steps
from ml.timeframes import DAY_MS
from tests.flows.conftest import START_MS, installation_at

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")

SYMBOL = "BTC/USDT"
NOW_MS = START_MS + 10 * DAY_MS


def test_after_a_day_of_faults_the_stored_candles_are_those_of_the_exchange(tmp_path: Path) -> None:
    source = SimulatedCandles([SYMBOL], "1h", START_MS, 13 * 24, seed=5)
    plan = disturbed(live_steps(NOW_MS, 1, ["3h"]), [SYMBOL], "1h", seed=1)
    quick = [fault.model_copy(update={"stall_seconds": min(fault.stall_seconds, 1.5)}) for fault in plan.faults]
    assert STALL_SECONDS > 1.5
    with ReplayServer(source, ReplayClock(NOW_MS)) as server:
        server.faults.add(*quick)
        exchange = {"timeout_seconds": 1.0, "retries": 5}
        workspace = installation_at(tmp_path, server.url, exchange=exchange, markets={"symbols": [SYMBOL]})
        inserted = []
        for step in plan.steps:
            server.clock.set(step.time_ms)
            report = ingest_market(workspace, SYMBOL, exchange_time_ms(workspace.settings))
            assert report.status in ("ok", "partial"), report.message  # partial: the newest candle was left out
            inserted.append(report.inserted)
        struck = {str(fault.kind): fault.struck for fault in server.faults.report()}
        shown = list(
            Exchange(workspace.settings.exchange).closed_candles(SYMBOL, "1h", START_MS, server.clock.now_ms(), 1000)
        )
        stored = stored_candles(workspace, workspace.settings.sources(SYMBOL)[0])

    assert all(struck.values()), "each fault has struck"
    assert set(DATA_KINDS) <= struck.keys()
    # At most three new hours a run, but for one that was hidden and came with the next run.
    assert inserted[0] == 10 * 24
    assert sum(inserted[1:]) == 24
    assert max(inserted[1:]) == 4
    assert report.missing == 0
    rows = np.array([row for page in shown for row in page])
    assert (stored["open_time"].astype("int64").to_numpy() == rows[:, 0]).all()
    # The revised candle too, which is shown in its revised form by now.
    np.testing.assert_array_equal(stored[["open", "high", "low", "close", "volume"]].to_numpy(), rows[:, 1:6])
    original = source.candles(SYMBOL, "1h").values[: len(rows), 3]
    assert (stored["close"].to_numpy() != np.round(original, 8)).sum() == sum(f.kind == "revise" for f in plan.faults)
