"""Reports: fixed columns, counts per worker and period, months that are never rewritten, and odd requests."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ml.analysis import month as months
from ml.analysis.month import Month, contribution_sentence, editions, store_month
from ml.analysis.reports import HEADERS, Period, csv_text, month_before, records_of, report, span_of
from ml.data.parquet import parquet_bytes
from ml.errors import ConfigurationError, StoreError
from ml.forecasting.published import publish_version
from ml.store import Store


def result(number: int, machine: str, day: str, seconds: float = 10.0, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(HEADERS["tested"])
    return {**row, "exchange": "e", "symbol": "A/USDT", "timeframe": "1h", "case_key": f"k{number}",
            "dataset_id": "d", "model": "ridge", "target": "next_candle", "status": "tested", "is_ranked": True,
            "machine": machine, "skill": number / 1000, "rmse_pct": 1.0, "fit_seconds": seconds,
            "finished_at": datetime.fromisoformat(day), **changes}  # fmt: skip


#: a: 3 tested (30 s) and 1 failed in November; b: 1 tested (40 s) in November, 1 in October. Ends of months are exact.
RESULTS = [
    result(1, "a", "2026-11-01T00:00:00"), result(2, "a", "2026-11-15T12:00:00"),
    result(3, "a", "2026-11-30T23:59:59.999"), result(4, "a", "2026-11-02T00:00:00", status="failed", skill=None),
    result(5, "b", "2026-11-20T00:00:00", 40.0), result(6, "b", "2026-10-31T23:59:59.999"),
]  # fmt: skip
#: k2 was recomputed and equal, k5 was not; k1 was refused before it was recomputed.
VERDICTS: list[dict[str, Any]] = [
    {"case_key": key, "dataset_id": "d", "decision": decision, "rule": rule, "holdout_opened": opened,
     "false_claim_worker": worker}
    for key, decision, rule, opened, worker in (
        ("k1", "refused", "search_luck", False, None), ("k2", "promoted", "promoted", True, None),
        ("k5", "refused", "false_claim", False, "b:1:1.0"),
    )
]  # fmt: skip


def forecast(day: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(HEADERS["forecasts"])
    return {**row, "exchange": "e", "symbol": "A/USDT", "timeframe": "1h", "late": False, "covered": True,
            "target_open_time": datetime.fromisoformat(day), "error_pct": 0.9, "baseline_error_pct": 1.0,
            **changes}  # fmt: skip


def published(path: Path, version: str = "v1", **tables: list[dict[str, Any]]) -> Store:
    store = Store(path)
    rows = {"results": RESULTS, "verdicts": VERDICTS, "forecasts": [forecast("2026-11-03T05:00:00")], **tables}
    files = {name: parquet_bytes(pa.Table.from_pylist(found)) for name, found in rows.items()}
    publish_version(store, version, files, {"published_at": "2026-12-01T00:00:00+00:00"})
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return published(tmp_path)


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_report_has_its_fixed_header_and_a_row_per_tested_case_of_the_period(store: Store) -> None:
    found = report(store, "tested", Period.of_month("2026-11"))
    rows = parsed(csv_text(found))
    assert tuple(rows[0]) == HEADERS["tested"]
    assert [row["case_key"] for row in rows] == ["k1", "k2", "k5", "k3"], "by time; failed ones are not tested"
    assert rows[0]["finished_at"] == "2026-11-01T00:00:00Z"
    assert [row["case_key"] for row in records_of(report(store, "tested", Period.of_month("2026-10")))] == ["k6"]


def test_times_with_a_zone_are_written_in_utc() -> None:
    times = pd.to_datetime(["2026-11-01T01:30:00+01:00", None], utc=True).tz_convert("Europe/Berlin")
    assert csv_text(pd.DataFrame({"at": times})) == 'at\r\n2026-11-01T00:30:00Z\r\n""\r\n'


def test_headers_are_as_they_were_published() -> None:
    """Programs of others read the columns by name and place: append, never rename or move."""
    assert HEADERS["tested"][:6] == ("exchange", "symbol", "timeframe", "case_key", "dataset_id", "model")
    assert HEADERS["contributions"] == (
        "machine", "cases", "share", "failed", "cpu_hours", "mean_seconds", "time_against_fleet", "best_skill",
        "best_case", "verified", "failed_verifications", "first_seen", "last_seen",
    )  # fmt: skip
    assert (len(HEADERS["tested"]), len(HEADERS["forecasts"])) == (25, 27)


def test_contributions_count_the_tested_cases_of_the_period_per_machine(store: Store) -> None:
    a, b = records_of(report(store, "contributions", Period.of_month("2026-11")))
    assert (a["machine"], a["cases"], a["failed"], a["share"]) == ("a", 3, 1, 0.75)
    assert (b["machine"], b["cases"], b["failed"], b["share"]) == ("b", 1, 0, 0.25)
    assert a["cpu_hours"] == pytest.approx(40 / 3600)
    # All five took 80 s, 16 each: a's four 40 of 64 expected, b's one 40 of 16.
    assert (a["time_against_fleet"], b["time_against_fleet"]) == (pytest.approx(40 / 64), pytest.approx(2.5))
    assert (a["best_case"], a["best_skill"]) == ("k3", pytest.approx(0.003))
    assert (a["verified"], a["failed_verifications"]) == (1, 0)
    assert (b["verified"], b["failed_verifications"]) == (1, 1)
    assert a["last_seen"] == datetime(2026, 11, 30, 23, 59, 59, 999000)  # noqa: DTZ001 - UTC without a zone, as stored
    every = report(store, "contributions", Period.parse(None, None))
    assert every.cases.sum() == len(report(store, "tested", Period.parse(None, None))) == 5


def test_a_period_without_rows_has_a_header_and_no_row(store: Store) -> None:
    for kind, header in HEADERS.items():
        found = report(store, kind, Period.of_month("2020-02"))
        assert csv_text(found) == ",".join(header) + "\r\n"
        assert records_of(found) == []
    first, last = span_of(store, "tested") or (None, None)
    assert first is not None and last is not None
    assert (f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") == ("2026-10-31", "2026-11-30")


def test_a_snapshot_without_any_result_has_empty_reports(tmp_path: Path) -> None:
    nothing = {name: [dict.fromkeys(rows[0])] for name, rows in (("results", RESULTS), ("verdicts", VERDICTS))}
    store = published(tmp_path, results=[{**nothing["results"][0], "finished_at": datetime(2020, 1, 1)}])  # noqa: DTZ001
    assert report(store, "contributions", Period.of_month("2026-11")).empty


def test_days_and_months_are_periods_and_their_ends_are_included() -> None:
    assert str(Period.parse("2026-11-05", "2026-11-05")) == "2026-11-05 to 2026-11-05"
    assert str(Period.parse("2024-02", "2024-02")) == "2024-02-01 to 2024-02-29"
    assert str(Period.parse(None, None)) == "all time"
    assert month_before(datetime.fromisoformat("2026-03-01T00:30:00+01:00")) == "2026-01", "in UTC it is February"


def test_nonsense_is_refused_in_one_line_with_what_to_give(store: Store) -> None:
    for first, last, message in (
        (
            "yesterday",
            None,
            r"--from 'yesterday' is no day. Give a day such as 2026-11-30 or a month such as 2026-11\.",
        ),
        ("2026-13", None, "--from '2026-13' is no day"),
        ("2026-02-30", None, "--from '2026-02-30' is no day"),
        (None, "2026-1-1x", "--to '2026-1-1x' is no day"),
        ("2026-12", "2026-11", "ends on 2026-11-30, before it begins on 2026-12-01. Exchange --from and --to"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            Period.parse(first, last)
    with pytest.raises(ConfigurationError, match=r"'2026' is no month. Give one such as 2026-11"):
        Period.of_month("2026")
    with pytest.raises(ConfigurationError, match=r"no report 'all'. There are: tested, forecasts, contributions"):
        report(store, "all", Period.parse(None, None))


def test_without_a_snapshot_the_remedy_is_to_publish(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Run `candleworks demo` or `candleworks publish`"):
        report(Store(tmp_path), "tested", Period.parse(None, None))
    with pytest.raises(StoreError, match="Run `candleworks publish`"):
        Month.read(Store(tmp_path), "2026-11")


def test_an_edition_is_kept_as_it_is_and_later_results_make_the_next_one(store: Store, tmp_path: Path) -> None:
    first, is_new = store_month(store, Month.read(store, "2026-11"))
    assert is_new and first["number"] == 1 and first["rows"] == {"tested": 4, "forecasts": 1, "contributions": 2}
    assert {path: store.read(path) for path in first["files"].values()}
    again, is_new = store_month(store, Month.read(store, "2026-11"))
    assert (again, is_new) == (first, False)
    before = {path: store.read(path) for path in store.list("reports")}

    published(tmp_path, "v2", results=[*RESULTS, result(7, "c", "2026-11-29T00:00:00")])
    second, is_new = store_month(store, Month.read(store, "2026-11"))
    assert is_new and second["number"] == 2 and second["rows"]["tested"] == 5
    assert {path: store.read(path) for path in before} == before, "nothing was rewritten"
    assert [edition["number"] for edition in editions(store, "2026-11")] == [1, 2]

    published(tmp_path, "v3", results=[*RESULTS, result(7, "c", "2026-11-29T00:00:00")], verdicts=VERDICTS[:1])
    assert store_month(store, Month.read(store, "2026-11"))[0]["number"] == 3, "checks are part of it"


def test_a_month_that_was_interrupted_is_completed_by_the_next_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str, data: bytes) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "create", broken)
        with pytest.raises(StoreError):
            store_month(store, Month.read(store, "2026-11"))
    assert editions(store, "2026-11") == [], "without its record there is no edition"
    edition, is_new = store_month(store, Month.read(store, "2026-11"))
    assert is_new and edition["number"] == 1


def test_the_page_of_a_month_is_one_file_with_its_picture_and_every_count(store: Store) -> None:
    page = Month.read(store, "2026-11").page()
    assert "2 workers, 4 cases in 2026-11, 1 of 2 checks failed." in unescape(page)
    assert "<svg" in page and page.count("<rect") == 4, "a bar per day and machine"
    assert not any(mark in page for mark in ("http:", "https:", "<script", "<link", "<img"))
    assert "a</td><td>3</td><td>75%</td><td>1</td>" in page


def test_the_page_of_a_month_without_work_says_so(store: Store) -> None:
    page = Month.read(store, "2020-02").page()
    assert "No worker finished a case in 2020-02." in page
    for sentence in ("No case was tested", "No machine finished", "No ranked case", "No candle with a forecast opened"):
        assert sentence in page
    assert "<svg" not in page


def test_names_of_machines_and_models_cannot_become_html(tmp_path: Path) -> None:
    store = published(tmp_path, results=[result(1, "<b>x</b>", "2026-11-01T00:00:00", model="<i>")])
    page = Month.read(store, "2026-11").page()
    assert "<b>x" not in page and "<i>" not in page and "&lt;b&gt;x" in page


def test_live_skill_of_few_forecasts_is_not_shown(tmp_path: Path) -> None:
    for count, shown in ((19, months._DASH), (20, "+10.0%")):
        rows = [forecast(f"2026-11-03T{hour:02d}:00:00") for hour in range(count)]
        store = published(tmp_path / str(count), forecasts=rows)
        assert f"<td>{shown}</td><td>100%</td>" in Month.read(store, "2026-11").page()


def test_the_sentence_of_the_workers_separates_unchecked_true_and_failed() -> None:
    assert contribution_sentence(0, 0, 0, 0, "in all") == "No worker finished a case in all."
    assert contribution_sentence(1, 1, 0, 0, "in all") == "1 worker, 1 case in all, no result was checked yet."
    assert contribution_sentence(2, 9, 3, 1, "in all") == "2 workers, 9 cases in all, 1 of 3 checks failed."
