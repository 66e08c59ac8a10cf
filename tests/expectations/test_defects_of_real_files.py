"""The gate on recorded candles: every known defect is caught by name, and clean files raise no error."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from expectations.gate import check_batch
from expectations.measures import normalised
from expectations.references import stamp_lag
from expectations.report import GateReport
from ml.timeframes import HOUR_MS, MINUTE_MS
from tests.expectations.frames import end_ms, market_of, real

pytestmark = pytest.mark.warehouse

BTC = "binance/BTC-USDT/1h"


def gate(folder: Path, name: str, reference: str | None = None) -> GateReport:
    market, frame = market_of(name), real(folder, name)
    trusted = None if reference is None else real(folder, reference)
    return check_batch(frame, market, end_ms(frame, market.timeframe_ms), reference=trusted)


def rows_of(report: GateReport, rule: str) -> pd.DataFrame:
    return report.quarantined[report.quarantined["rule"].str.split(",").map(lambda names: rule in names)]


# Candles of volume 0 that touch a gap of their own: of 2017-09-06 16:00, 2021-02-11 03:00 and 2023-03-24 12:00 those
# that the market was there for. The others of candles/README.md touch none and are evaluated with all markets together.
FILLERS = {"BTC": 3, "ETH": 3, "BNB": 2, "SOL": 2, "ADA": 1, "LTC": 1, "DOGE": 1, "TRX": 1, "LINK": 1}


def errors_of(report: GateReport) -> list[str]:
    return [check.rule for check in report.checks if not check.success and check.severity == "error"]


@pytest.mark.parametrize("coin", FILLERS)
def test_clean_files_raise_no_error_and_lose_nothing_but_fillers(candles_dir: Path, coin: str) -> None:
    report = gate(candles_dir, f"binance/{coin}-USDT/1h", BTC)
    assert not report.stopped
    assert errors_of(report) == ["filler_candle"]
    assert report.quarantined["rule"].tolist() == ["filler_candle"] * FILLERS[coin]
    assert set(report.failed_rules) <= {"filler_candle", "open_jump", "long_wick"}


def test_the_true_jump_of_early_ether_is_a_warning_and_is_kept(candles_dir: Path) -> None:
    report = gate(candles_dir, "binance/ETH-USDT/1h")
    assert report.check("open_jump").rows_failed == 1
    assert pd.Timestamp("2017-08-22 04:00", tz="UTC") in set(report.good["open_time"])


@pytest.mark.parametrize(
    "name", ["binance/BTC-USDT/1m", "binance/BTC-USDT/5m", "kraken/BTC-USDT/1h", "kraken/BTC-USDT/15m"]
)
def test_other_clean_files_and_timeframes_fit_the_reference(candles_dir: Path, name: str) -> None:
    report = gate(candles_dir, name, BTC)
    assert report.check("close_stamped").rows_checked == len(real(candles_dir, name))
    assert errors_of(report) == (["filler_candle"] if name == "binance/BTC-USDT/5m" else [])
    assert len(report.quarantined) == (14 if name == "binance/BTC-USDT/5m" else 0)  # 2023-03-24 11:30 to 12:35


def test_stamps_eight_hours_late_stop_the_market(candles_dir: Path) -> None:
    report = gate(candles_dir, "binance-shifted/BTC-USDT/1h", BTC)
    assert report.stopped and "shifted_stamps in 45,345" in report.reason
    assert "28800000 ms late" in report.check("shifted_stamps").detail  # 8 h
    unfinished = rows_of(report, "unfinished_candle")  # its last row was still forming when it was saved
    assert unfinished["open_time"].tolist() == [pd.Timestamp("2022-10-25 03:00", tz="UTC")]


def test_late_stamps_are_seen_in_short_updates_with_the_candles_before(candles_dir: Path) -> None:
    frame, reference = real(candles_dir, "binance-shifted/BTC-USDT/1h"), real(candles_dir, BTC)
    update, before = frame.iloc[-5:-1], frame.iloc[-205:-5]
    market = market_of("binance/BTC-USDT/1h")
    report = check_batch(update, market, end_ms(update), before, reference)
    assert report.stopped and report.failed_rules == ["shifted_stamps"]


def test_minutes_stamped_with_their_close_and_counting_dollars_stop_the_market(candles_dir: Path) -> None:
    report = gate(candles_dir, "ftx/BTC-PERP/1m", BTC)
    assert report.stopped
    # README of the candles: hourly returns correlate 0.9995 one minute earlier, 0.986 as they stand
    assert "correlation 0.9995 one timeframe earlier, 0.9857 unshifted" in report.check("close_stamped").detail
    assert report.check("volume_unit").rows_failed == 45_031


def test_the_lag_is_found_from_either_side(candles_dir: Path) -> None:
    hours, minutes = (normalised(real(candles_dir, name), name) for name in (BTC, "ftx/BTC-PERP/1m"))
    late = stamp_lag(minutes, hours, MINUTE_MS)
    early = stamp_lag(hours, minutes, HOUR_MS)
    assert late is not None and late.lag_ms == MINUTE_MS and late.defect == "close_stamped"
    assert early is not None and early.lag_ms == -MINUTE_MS and early.defect == "shifted_stamps"


@pytest.mark.parametrize(("coin", "opened"), [("BTC", 16_199.91), ("ETH", 652.74)])
def test_repeated_rows_and_the_false_first_open_of_a_collector(candles_dir: Path, coin: str, opened: float) -> None:
    report = gate(candles_dir, f"binance-cdd/{coin}-USDT/1h")
    assert not report.stopped
    assert report.check("repeated_open_time").rows_failed == 2_649
    assert rows_of(report, "false_open")["open"].tolist() == [opened]
    # Of each pair the copy that counts its trades is kept, but for the last, of which that copy was unfinished; so of
    # the 36,062 - 28,584 = 7,478 rows with trades one is given up, and two fillers.
    assert report.good["trades"].notna().sum() == 7_478 - 1 - 2


def test_rounded_and_copied_values_of_a_collector_are_a_warning(candles_dir: Path) -> None:
    report = gate(candles_dir, "binance-cdd/BTC-USDT/1h", BTC)
    assert not report.stopped and report.check("differs_from_reference").rows_failed > 20_000
    moved = rows_of(report, "false_open")["open_time"].tolist()
    # 14,400 against a true 15,873.50, 13,644 become 12,781: found only with the reference
    assert {pd.Timestamp("2018-01-05 10:00", tz="UTC"), pd.Timestamp("2018-01-15 12:00", tz="UTC")} <= set(moved)


def test_swapped_volumes_stop_the_market_and_unfinished_copies_are_named(candles_dir: Path) -> None:
    report = gate(candles_dir, "bitstamp/BTC-USD/1h", BTC)
    assert report.stopped and "swapped_volumes in 20,143" in report.reason
    assert report.check("repeated_open_time").rows_failed == 9
    assert report.check("unfinished_candle").rows_failed == 9
    later = real(candles_dir, "bitstamp/BTC-USD/1h").loc[lambda frame: frame["open_time"] > "2020-10-12 08:00+00:00"]
    kept = check_batch(later, market_of("bitstamp/BTC-USD/1h"), end_ms(later))
    assert not kept.stopped and kept.check("swapped_volumes").success
    day = kept.good.set_index("open_time").loc["2023-01-14 00:00+00:00"]
    assert day["close"] == 20_906.0  # the finished copy; the unfinished one closes at 20,027


def test_identical_hours_and_the_unfinished_last_candle_of_coinbase(candles_dir: Path) -> None:
    report = gate(candles_dir, "coinbase/BTC-USD/1h", BTC)
    assert not report.stopped
    assert set(rows_of(report, "repeated_open_time")["detail"]) == {"identical copy of a candle that is kept"}
    assert len(rows_of(report, "repeated_open_time")) == 5
    unfinished = rows_of(report, "unfinished_candle")
    assert unfinished["open_time"].tolist() == [pd.Timestamp("2020-10-24 07:00", tz="UTC")]


def test_the_filler_and_the_revisions_of_the_public_dumps(candles_dir: Path) -> None:
    report = gate(candles_dir, "binance-vision/BTC-USDT/1h", BTC)
    filler = rows_of(report, "filler_candle")["open_time"].tolist()
    assert pd.Timestamp("2020-12-21 14:00", tz="UTC") in filler
    assert 1 <= report.check("differs_from_reference").rows_failed <= 12
    assert errors_of(report) == ["filler_candle"]
    assert pd.Timestamp("2019-06-07 21:00", tz="UTC") not in filler, "touches no gap: outages.py knows it"
