"""The gate's verdict at a hundredth of its cost.

Great Expectations takes a third of a second for a batch, whatever is in it. Here the same rules are read by a few lines
of pandas over the same measures, and a batch of which each row can be judged at a glance is not measured at all. Each
`COMPARED`th batch is judged by the real gate too, and the verdicts must be the same.
"""

from __future__ import annotations

from itertools import count
from unittest.mock import patch

import numpy as np
import pandas as pd

from expectations import gate
from expectations.defects import LEAST_PRICE, LEAST_VOLUME, MOST_PRICE, MOST_VOLUME, quiet_candles, quiet_faults
from expectations.report import Check, GateReport, MarketContext
from tests.expectations.frames import plain_broken_rows

COMPARED = 200
_VALUES = ["open", "high", "low", "close", "volume"]
_batches = count(1)


def quick_gate(
    batch: pd.DataFrame, market: MarketContext, now_ms: int, previous: pd.DataFrame, reference: pd.DataFrame | None
) -> GateReport:
    """`gate.check_batch`; rule and detail of what is in quarantine may be named otherwise."""
    report = _at_a_glance(batch, market, now_ms, previous)
    if report is None:
        with patch.object(gate, "broken_rows", plain_broken_rows):
            report = gate.check_batch(batch, market, now_ms, previous, reference)
    if next(_batches) % COMPARED == 0:
        real = gate.check_batch(batch, market, now_ms, previous, reference)
        pd.testing.assert_frame_equal(report.good, real.good)
        assert report.stopped == real.stopped, real.reason
    return report


def _at_a_glance(batch: pd.DataFrame, market: MarketContext, now_ms: int, previous: pd.DataFrame) -> GateReport | None:
    """The verdict where each row is no candle for sure, or one beyond doubt, or its copy; None for all others."""
    bad = _impossible(batch, market)
    copies = np.zeros(len(batch), dtype=bool)
    if batch["open_time"].duplicated().any():
        copies[~bad] = batch[~bad].duplicated(keep="last")
    sound = batch[~bad & ~copies]
    if not _beyond_doubt(sound, market, now_ms, previous):
        return None
    limits, count = gate.DEFAULT_LIMITS, int(bad.sum())
    stopped = count == len(batch) or (count > limits.stop_share * len(batch) and count >= limits.stop_rows)
    reason = f"{count:,} of {len(batch):,} candles are bad" if stopped else ""
    gone = np.ones(len(batch), dtype=bool) if stopped else bad | copies
    checks = [Check("all", "error", not gone.any(), len(batch), int(gone.sum()), "")]
    good = batch[~gone].sort_values("open_time", kind="stable", ignore_index=True)
    quarantined = batch[gone].assign(rule="impossible or a copy", detail="").reset_index(drop=True)
    return GateReport(market, checks, good, quarantined, stopped, reason, batch)


def _impossible(batch: pd.DataFrame, market: MarketContext) -> np.ndarray:
    """Rows that break a rule on their own."""
    opening, high, low, close, volume = batch[_VALUES].to_numpy().T
    prices = np.stack([opening, high, low, close])
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(prices).all(axis=0) & np.isfinite(volume)
        of_a_size = (
            ((prices > LEAST_PRICE) & (prices < MOST_PRICE)).all(axis=0) & (volume >= 0) & (volume < MOST_VOLUME)
        )
        ordered = (low <= opening) & (low <= close) & (opening <= high) & (close <= high)
    on_raster = batch["open_time"].astype("int64").to_numpy() % market.timeframe_ms == 0
    marks: np.ndarray = ~(whole & of_a_size & ordered & on_raster)
    return marks


def _beyond_doubt(sound: pd.DataFrame, market: MarketContext, now_ms: int, previous: pd.DataFrame) -> bool:
    """Closed candles, each once, all traded or truly quiet, and all prices close to each other."""
    opens = sound["open_time"].astype("int64").to_numpy()
    ranges = np.vstack([sound[["high", "low"]].to_numpy(), previous[["high", "low"]].to_numpy()])
    if not len(ranges):
        return True
    high, low = ranges.T
    closed = len(np.unique(opens)) == len(opens) and (opens + market.timeframe_ms <= now_ms).all()
    near = high.max() < 1.5 * low.min()
    return bool(closed and near and _traded_or_quiet(sound, market, previous))


def _traded_or_quiet(sound: pd.DataFrame, market: MarketContext, previous: pd.DataFrame) -> bool:
    untraded = sound["volume"] <= LEAST_VOLUME
    if not untraded.any():
        return True
    faults = quiet_faults(sound, market.timeframe_ms, previous)
    return bool(quiet_candles(sound[untraded]).all() and not faults.to_numpy().any())
