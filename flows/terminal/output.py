"""Records on the terminal: as a table for people, as JSON for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.table import Table

from flows.reporting import Terminal
from ml.errors import ConfigurationError
from ml.texts import printable

#: A row of any table: printing reads its names and values only.
PrintedRow = Mapping[str, object]


def _plain(value: object) -> str:
    """A value that JSON can represent: times as ISO 8601 in UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat()
    return str(value)


#: Headings that are shorter or clearer than the field's name.
HEADINGS = {
    "rmse_pct": "error %",
    "rmse_quote": "error in quote",
    "skill_mean_range": "vs mean range",
    "skill_interval": "90 % interval",
    "spa_p_value": "SPA p",
    "holdout_skill": "holdout",
    "skill_high": "high",
    "skill_low": "low",
    "skill_close": "close",
    "band_coverage": "in the interval",
    "n_trials": "trials",
    "decided_at": "decided",
    "model_id": "model id",
    "trained_through": "trained through",
    "review_skill": "skill",
    "review_rows": "rows",
    "target_open_time": "opens",
    "is_champion": "champion",
    "feature_set": "features",
    "evaluated_on": "evaluated on",
    "cases_total": "cases",
    "cases_never_tested": "never tested",
    "cases_in_work": "being tested",
    "cases_tested": "tested",
    "cases_failed": "failed",
    "cases_pruned": "pruned",
    "last_candle": "last candle",
}


def _shown(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%m-%d %H:%M}"
    return _number(name, value) if isinstance(value, float) else str(value)


def _number(name: str, value: float) -> str:
    if "skill" in name or name == "gain":
        return f"{value:+.2%}"
    if name.endswith("coverage"):
        return f"{value:.1%}"
    return f"{value:.4f}" if name.endswith(("_pct", "p_value")) else f"{value:,.6g}"


def terminal() -> Terminal:
    """The console of standard output; 120 columns wide where it is not a terminal."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=120)


def print_records(
    records: Sequence[PrintedRow], as_json: bool, title: str, columns: Sequence[str] | None = None
) -> None:
    """Print records; `columns` selects those of the table, JSON always has all."""
    if as_json:
        json.dump(list(records), sys.stdout, default=_plain, indent=1)
        sys.stdout.write("\n")
        return
    console = terminal()
    if not records:
        console.print(f"{title}: none")
        return
    console.print(records_table(records, title, columns))


def print_csv(columns: Sequence[str], records: Sequence[PrintedRow]) -> None:
    """Print records as CSV (RFC 4180) with a header; times as ISO 8601 in UTC, missing values empty."""
    writer = csv.DictWriter(sys.stdout, columns)
    writer.writeheader()
    for record in records:
        writer.writerow({name: _csv_value(value) for name, value in record.items()})


def _csv_value(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    return _plain(value) if isinstance(value, datetime) else value


def records_table(records: Sequence[PrintedRow], title: str, columns: Sequence[str] | None = None) -> Table:
    """Records, at least one, as a table for people."""
    names = list(columns or records[0])
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        numeric = isinstance(records[0].get(name), float | int)
        table.add_column(HEADINGS.get(name, name), justify="right" if numeric else "left", overflow="fold")
    for record in records:
        table.add_row(*(_shown(name, record.get(name)) for name in names))
    return table


def markdown_table(records: Sequence[PrintedRow], columns: Sequence[str]) -> str:
    """Records as a Markdown table."""
    lines = ["| " + " | ".join(HEADINGS.get(name, name) for name in columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_shown(name, record.get(name)) for name in columns) + " |" for record in records]
    return "\n".join(lines) + "\n"


def replace_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replace the text between two marker lines of a file.

    Raises:
        ConfigurationError: a marker is missing.
    """
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found_begin, rest = content.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ConfigurationError(f"{path} has no lines {begin} and {end}. Add them where the table belongs.")
    path.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
