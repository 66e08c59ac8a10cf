"""The reports of a month in the store: CSV files and a printable page, one HTML file with its pictures inside.

``reports/<month>/<number>.json`` is created once and names the files of that edition, which are stored under the hash
of their content. Reports are never rewritten: where results of the month arrived after an edition, the next one has the
next number, and the earlier ones stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, Template

from ml.analysis.contributions import per_day
from ml.analysis.records import Chart, Mark
from ml.analysis.reports import HEADERS, Period, csv_text, report
from ml.data.stored import object_bytes, read_object
from ml.errors import StoreError
from ml.forecasting.published import current_version
from ml.forecasting.scoring import ENOUGH_LIVE
from ml.store import Store

FOLDER = "reports"
PAGE = "month.html"
#: Safe for colour-blind people, in the order of contributions; all further machines share the last one.
COLOURS = ("#2F86CF", "#DB6E1E", "#C2509E", "#8A94A3")
OTHERS = "others"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 240, 46, 22, 10
_DASH = "\N{EN DASH}"


class Edition(TypedDict):
    """``reports/<month>/<number>.json``: one complete edition of a month's reports."""

    month: str
    number: int
    #: Of the snapshot that it was made from.
    version: str
    published_at: str
    #: File name -> path in the store.
    files: dict[str, str]
    #: Report -> rows.
    rows: dict[str, int]


class ShownTable(TypedDict):
    """A table of the page: headings, and rows of text."""

    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Month:
    """The reports of a month."""

    name: str
    period: Period
    reports: Mapping[str, pd.DataFrame]
    version: str
    published_at: str
    #: Of the snapshot; in the past for a replayed exchange, whose forecasts are of its own months.
    exchange_time: str | None

    @classmethod
    def read(cls, store: Store, name: str) -> Month:
        """The reports of a month out of the published snapshot.

        Raises:
            ConfigurationError: it is no month.
            StoreError: nothing has been published yet.
        """
        period = Period.of_month(name)
        pointer = current_version(store)
        if pointer is None:
            raise StoreError(f"Nothing has been published in {store.url} yet. Run `candleworks publish`.")
        reports = {kind: report(store, kind, period) for kind in HEADERS}
        published_at = pointer.get("published_at", "")
        return cls(name, period, reports, pointer["version"], published_at, pointer.get("exchange_time"))

    def files(self) -> dict[str, bytes]:
        """File name -> content: a CSV file per report, and the page."""
        texts = {f"{kind}.csv": csv_text(frame) for kind, frame in self.reports.items()} | {PAGE: self.page()}
        return {name: text.encode() for name, text in texts.items()}

    def page(self) -> str:
        """The printable page."""
        tested, forecasts, workers = (self.reports[kind] for kind in ("tested", "forecasts", "contributions"))
        failed_checks, verified = int(workers.failed_verifications.sum()), int(workers.verified.sum())
        scored = forecasts.dropna(subset=["error_pct", "baseline_error_pct"])
        figures = [
            ("Tested cases", f"{len(tested):,}"),
            ("Failed cases", f"{int(workers.failed.sum()):,}"),
            ("Machines", f"{len(workers):,}"),
            ("CPU hours", f"{workers.cpu_hours.sum():,.1f}"),
            ("Forecasts", f"{len(forecasts):,}"),
            ("Scored", f"{len(scored):,}"),
        ]
        page: str = _template().render(
            month=self.name,
            period=str(self.period),
            version=self.version[:8],
            exchange_time=(self.exchange_time or "")[:16].replace("T", " "),
            sentence=contribution_sentence(len(workers), len(tested), verified, failed_checks, f"in {self.name}"),
            figures=figures,
            chart=_chart(tested, list(workers.machine), self.period),
            workers=_workers(workers),
            best=_best(tested),
            forecasts=_live(forecasts),
        )
        return page


def contribution_sentence(machines: int, cases: int, verified: int, failed: int, when: str) -> str:
    """The state of the fleet in one sentence.

    >>> contribution_sentence(3, 1204, 6, 0, "this month")
    '3 workers, 1,204 cases this month, all 6 checks true.'
    """
    if not machines:
        return f"No worker finished a case {when}."
    checks = (
        "no result was checked yet"
        if not verified
        else f"all {verified} checks true"
        if not failed
        else f"{failed} of {verified} checks failed"
    )
    return (
        f"{machines} worker{'s' if machines != 1 else ''}, {cases:,} case{'s' if cases != 1 else ''} {when}, {checks}."
    )


@cache
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=folder, autoescape=True, trim_blocks=True).get_template("month.html.j2")


def _workers(rows: pd.DataFrame) -> ShownTable:
    columns = [
        "Machine",
        "Cases",
        "Share",
        "Failed",
        "CPU hours",
        "Time / fleet",
        "Best skill",
        "Checks failed",
        "Last seen",
    ]
    return {
        "columns": columns,
        "rows": [
            [
                str(row.machine), f"{row.cases:,}", f"{row.share:.0%}", f"{row.failed:,}", f"{row.cpu_hours:,.2f}",
                _number(row.time_against_fleet, "{:.2f}"), _number(row.best_skill, "{:+.1%}"),
                f"{row.failed_verifications} of {row.verified}", f"{row.last_seen:%Y-%m-%d %H:%M}",
            ]
            for row in cast(Iterable[Any], rows.itertuples())
        ],
    }  # fmt: skip


def _best(tested: pd.DataFrame) -> ShownTable:
    ranked = tested[(tested.target == "next_candle") & tested.skill.notna()]
    best = ranked.sort_values(["skill", "case_key"], ascending=[False, True]).drop_duplicates(
        ["exchange", "symbol", "timeframe"]
    )
    counts = ranked.groupby(["exchange", "symbol", "timeframe"]).size()
    return {
        "columns": ["Series", "Model", "Skill", "Error", "Baseline", "Of cases", "Case"],
        "rows": [
            [
                f"{row.symbol} {row.timeframe}", str(row.model), f"{row.skill:+.1%}", f"{row.rmse_pct:.3f} %",
                str(row.baseline), f"{counts[row.exchange, row.symbol, row.timeframe]:,}", str(row.case_key)[:8],
            ]
            for row in cast(Iterable[Any], best.sort_values(["exchange", "symbol", "timeframe"]).itertuples())
        ],
    }  # fmt: skip


def _live(forecasts: pd.DataFrame) -> ShownTable:
    rows = []
    for (_, symbol, timeframe), mine in forecasts.groupby(["exchange", "symbol", "timeframe"]):
        scored = mine[mine.error_pct.notna() & mine.baseline_error_pct.notna()]
        on_time = scored[~scored.late.fillna(True).astype(bool)]
        held = on_time.covered.dropna()
        rows.append([
            f"{symbol} {timeframe}", f"{len(mine):,}", f"{int(mine.late.fillna(False).sum()):,}", f"{len(on_time):,}",
            _number(_rms(on_time.error_pct), "{:.3f} %"), _number(_rms(on_time.baseline_error_pct), "{:.3f} %"),
            _number(_skill(on_time), "{:+.1%}"), _number(held.mean() if len(held) else None, "{:.0%}"),
        ])  # fmt: skip
    columns = ["Series", "Forecasts", "Late", "Scored on time", "Error", "Baseline", "Live skill", "In the interval"]
    return {"columns": columns, "rows": rows}


def _rms(errors: pd.Series) -> float | None:
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else None


def _skill(scored: pd.DataFrame) -> float | None:
    """The skill of live forecasts; None for fewer than `ENOUGH_LIVE`, which are luck."""
    own, baseline = _rms(scored.error_pct), _rms(scored.baseline_error_pct)
    return 1 - own / baseline if own is not None and baseline and len(scored) >= ENOUGH_LIVE else None


def _number(value: float | None, shape: str) -> str:
    return _DASH if value is None or pd.isna(value) else shape.format(value)


def _chart(tested: pd.DataFrame, machines: Sequence[str], period: Period) -> Chart | None:
    """Rectangles of the stacked bars, one per day and machine, in units of the picture."""
    if not len(tested):
        return None
    shown = list(machines[: len(COLOURS) - 1]) if len(machines) > len(COLOURS) else list(machines)
    names = shown if len(shown) == len(machines) else [*shown, OTHERS]
    counted = per_day(tested.assign(status="tested"))
    counted["machine"] = counted.machine.where(counted.machine.isin(shown), OTHERS)
    counts = counted.groupby(["day", "machine"]).cases.sum().unstack(fill_value=0)
    most = int(counts.sum(axis=1).max())
    days = pd.date_range(period.first, period.last, freq="D")
    step, scale = (_WIDTH - _LEFT) / len(days), (_HEIGHT - _BOTTOM - _TOP) / most
    bars: list[Mark] = []
    for number, day in enumerate(days):
        bottom = float(_HEIGHT - _BOTTOM)
        for name, colour in zip(names, COLOURS, strict=False):
            cases = int(cast(int, counts.at[day, name])) if day in counts.index and name in counts else 0
            if cases:
                bottom -= cases * scale
                bars.append({
                    "x": round(_LEFT + number * step + 1, 2), "y": round(bottom, 2), "width": round(step - 2, 2),
                    "height": round(cases * scale, 2), "colour": colour, "text": f"{day:%d %b}, {name}: {cases:,}",
                })  # fmt: skip
    return {
        "width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "most": f"{most:,}", "bars": bars,
        "legend": [{"text": name, "colour": colour} for name, colour in zip(names, COLOURS, strict=False)],
        "lines": [
            {"y": round(_HEIGHT - _BOTTOM - share * most * scale, 2), "text": f"{round(share * most):,}"}
            for share in (0.0, 0.5, 1.0)
        ],
        "days": [
            {"x": round(_LEFT + (number + 0.5) * step, 2), "text": str(day.day)}
            for number, day in enumerate(days)
            if day.day == 1 or day.day % 5 == 0
        ],
    }  # fmt: skip


def editions(store: Store, month: str) -> list[Edition]:
    """The editions of a month's reports, oldest first."""
    remedy = "Delete it and run `candleworks reports` again."
    keys = {"number": int, "files": dict}
    found: list[Edition] = [read_object(store, path, keys, remedy) for path in _numbered(store, month)]
    return sorted(found, key=lambda edition: edition["number"])


def _numbered(store: Store, month: str) -> list[str]:
    folder = f"{FOLDER}/{month}"
    return [path for path in store.list(folder) if path.endswith(".json") and path.count("/") == folder.count("/") + 1]


def store_month(store: Store, month: Month) -> tuple[Edition, bool]:
    """Store the reports of a month, unless the newest edition has the same contents.

    Args:
        store: for the files.
        month: the reports.

    Returns:
        The edition with these contents, and whether it is new.
    """
    contents = month.files()
    digest = hashlib.sha256(b"".join(hashlib.sha256(contents[name]).digest() for name in sorted(contents))).hexdigest()
    files = {name: f"{FOLDER}/{month.name}/{digest[:12]}/{name}" for name in contents}
    earlier = editions(store, month.name)
    reports = {name: path for name, path in files.items() if name != PAGE}
    if earlier and _same(store, earlier[-1], contents):
        return earlier[-1], False
    for name, path in files.items():
        store.replace(path, contents[name])  # the path is the hash of the contents
    edition: Edition = {
        "month": month.name,
        "number": len(earlier) + 1,
        "version": month.version,
        "published_at": month.published_at,
        "files": files,
        "rows": {name.removesuffix(".csv"): len(month.reports[name.removesuffix(".csv")]) for name in reports},
    }
    try:
        store.create(f"{FOLDER}/{month.name}/{edition['number']}.json", object_bytes(edition, indent=1))
    except FileExistsError:  # another process made this edition at the same time
        return editions(store, month.name)[-1], False
    return edition, True


def _same(store: Store, edition: Edition, contents: Mapping[str, bytes]) -> bool:
    """Whether the tables of an edition have these contents; the page also names the snapshot."""
    return all(store.read(edition["files"][name]) == content for name, content in contents.items() if name != PAGE)
