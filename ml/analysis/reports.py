"""Reports of a period as tables with fixed columns: tested cases, forecasts, contributions of the machines.

They are made from the published snapshot, so that a report equals what the pages show. A tested case belongs to the
period in which it was finished, a forecast to that in which its candle opens; times are UTC.
"""

from __future__ import annotations

import calendar
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa

from ml.analysis import contributions as workers
from ml.errors import ConfigurationError, StoreError
from ml.forecasting.published import read_arrow
from ml.store import Store

#: Report -> its columns. A column is never renamed or moved: programs of others read them by position, too.
HEADERS: dict[str, tuple[str, ...]] = {
    "tested": (
        "exchange", "symbol", "timeframe", "case_key", "dataset_id", "model", "model_family", "feature_set",
        "n_features", "lags", "target", "worker", "machine", "started_at", "finished_at", "fit_seconds", "rmse_pct",
        "rmse_quote", "baseline", "baseline_rmse_pct", "skill", "n_train", "n_validation", "is_trusted", "case_json",
    ),
    "forecasts": (
        "exchange", "symbol", "timeframe", "target_open_time", "target_close_time", "issued_at", "late", "model",
        "model_id", "case_key", "open", "high", "low", "close", "band_low", "band_high", "band_level", "baseline",
        "actual_high", "actual_low", "actual_close", "error_pct", "baseline_error_pct", "covered", "direction_hit",
        "scored_at", "hash",
    ),
    "contributions": workers.COLUMNS,
}  # fmt: skip
#: The time by which a row belongs to a period.
_TIMES = {"tested": "finished_at", "forecasts": "target_open_time"}
#: A row of any of the reports.
ReportRow = Mapping[str, object]
_FORMAT = "a day such as 2026-11-30 or a month such as 2026-11"


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included; UTC."""

    first: date
    last: date

    @classmethod
    def parse(cls, first: str | None, last: str | None) -> Period:
        """A period from texts: days or whole months; without an end up to the end of `first`'s month or day.

        Raises:
            ConfigurationError: a text is no day, or the period ends before it begins.
        """
        if first is None and last is None:
            return cls(date(1970, 1, 1), date(9999, 12, 31))
        start = date(1970, 1, 1) if first is None else _day(first, "--from", at_end=False)
        end = date(9999, 12, 31) if last is None else _day(last, "--to", at_end=True)
        if end < start:
            raise ConfigurationError(
                f"The period ends on {end}, before it begins on {start}. Exchange --from and --to."
            )
        return cls(start, end)

    @classmethod
    def of_month(cls, month: str) -> Period:
        """A month such as 2026-11.

        Raises:
            ConfigurationError: it is no month.
        """
        if not re.fullmatch(r"\d{4}-\d{2}", month):
            raise ConfigurationError(f"{month!r} is no month. Give one such as 2026-11.")
        return cls(_day(month, "--month", at_end=False), _day(month, "--month", at_end=True))

    def has(self, times: pd.Series) -> pd.Series:
        """Which of the naive UTC times are in it."""
        days = times.dt.date
        inside: pd.Series = times.notna() & (days >= self.first) & (days <= self.last)
        return inside

    def __str__(self) -> str:
        if self.first.year == 1970 and self.last.year == 9999:
            return "all time"
        return f"{self.first} to {self.last}"


def month_before(now: datetime) -> str:
    """The last complete month, such as 2026-10.

    >>> month_before(datetime(2026, 1, 1, 2, tzinfo=UTC))
    '2025-12'
    """
    return f"{now.astimezone(UTC).replace(day=1) - timedelta(days=1):%Y-%m}"


def _day(text: str, option: str, *, at_end: bool) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{2}", text):
            year, month = int(text[:4]), int(text[5:])
            return date(year, month, calendar.monthrange(year, month)[1] if at_end else 1)
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:  # IllegalMonthError is one
        raise ConfigurationError(f"{option} {text!r} is no day. Give {_FORMAT}.") from None


def report(store: Store, kind: str, period: Period) -> pd.DataFrame:
    """The rows of a report, oldest first (contributions: most cases first), with the columns `HEADERS[kind]`.

    Raises:
        ConfigurationError: there is no such report.
        StoreError: nothing has been published yet, or the snapshot cannot be read.
    """
    if kind not in HEADERS:
        raise ConfigurationError(f"There is no report {kind!r}. There are: {', '.join(HEADERS)}.")
    if kind == "contributions":
        results = _frame(store, "results", workers.RESULTS)
        return workers.contributions(
            results[period.has(results.finished_at)], _frame(store, "verdicts", workers.VERDICTS)
        )
    time = _TIMES[kind]
    extra = ("status",) if kind == "tested" else ()
    frame = _frame(store, "results" if kind == "tested" else "forecasts", (*HEADERS[kind], *extra))
    kept = period.has(frame[time])
    if kind == "tested":
        kept &= frame.status == "tested"
    ordered = frame[kept].sort_values([time, "exchange", "symbol", "timeframe"], kind="stable", ignore_index=True)
    return ordered[list(HEADERS[kind])]


def _frame(store: Store, table: str, columns: tuple[str, ...]) -> pd.DataFrame:
    found = read_arrow(store, table)
    if found is None:
        raise StoreError(
            f"Nothing has been published in {store.url} yet. Run `candleworks demo` or `candleworks publish`."
        )
    absent = [name for name in columns if name not in found.column_names]
    for name in absent:  # snapshots of earlier versions
        found = found.append_column(name, pa.nulls(len(found)))
    frame: pd.DataFrame = found.select(list(columns)).to_pandas()
    return frame


def csv_text(frame: pd.DataFrame) -> str:
    """A report as CSV (RFC 4180) with its header; times as ISO 8601 in UTC, missing values empty."""
    shown = frame.copy()
    for name in shown.columns:
        if pd.api.types.is_datetime64_any_dtype(shown[name].dtype):
            # Times of the snapshot are UTC without a zone.
            times = pd.to_datetime(shown[name], utc=True)
            shown[name] = [None if pd.isna(time) else f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times]
    buffer = io.StringIO()
    shown.to_csv(buffer, index=False, lineterminator="\r\n")
    return buffer.getvalue()


def records_of(frame: pd.DataFrame) -> list[ReportRow]:
    """The rows as plain dictionaries; missing values are None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {str(name): value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def span_of(store: Store, kind: str) -> tuple[datetime, datetime] | None:
    """First and last time of all rows that a report could have; None without any."""
    table, time = ("forecasts", "target_open_time") if kind == "forecasts" else ("results", "finished_at")
    times = _frame(store, table, (time,))[time].dropna()
    return (times.min().to_pydatetime(), times.max().to_pydatetime()) if len(times) else None
