"""The canaries: tests whether the selection of this workspace, and its choice of trading rules, can be trusted."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli.application import AsJson, Config, application
from flows.reporting import Terminal
from flows.terminal.output import PrintedRow, print_records, records_table, replace_between, terminal

if TYPE_CHECKING:
    from ml.canaries.report import Finding, Findings, Report, TradingReport
    from ml.trading.costs import Costs

QUICK_SEEDS = 20
WIDTH = 120


@dataclass(frozen=True)
class Text:
    """A report in words.

    Attributes:
        name: of its block in the README.
        title: of the table.
        found: heading of the number of markets with a find.
        lines: below the table.
    """

    name: str
    title: str
    found: str
    lines: Sequence[str]


@application.command()
def canary(
    seeds: Annotated[int, typer.Option(min=1, help="Number of null markets; planted ones in proportion.")] = 200,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK_SEEDS} seeds, for a first look.")] = False,
    trading: Annotated[
        bool, typer.Option("--trading", help="Choose rules of the built-in signals instead of champions.")
    ] = False,
    processes: Annotated[int, typer.Option(min=0, help="Single-threaded worker processes; 0: one per core.")] = 0,
    markdown: Annotated[str | None, typer.Option(help="Put the README's report into this file; - prints it.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Select champions on simulated markets where nothing can be forecast, and on some with a known edge."""
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.settings import load_settings  # noqa: PLC0415
    from flows.studies.canary import run_canary, run_trading_canary  # noqa: PLC0415
    from ml.canaries.report import Plan  # noqa: PLC0415
    from ml.trading.costs import Costs  # noqa: PLC0415

    settings, markets = load_settings(config), QUICK_SEEDS if quick else seeds
    report: Findings
    with TerminalReporter(Terminal(stderr=True)) as reporter:
        if trading:
            costs = Costs.flat(settings.trading.fee, settings.trading.slippage)
            report = run_trading_canary(Plan.of_trading(markets), costs, processes, reporter)
            text = _trading_text(report, costs)
        else:
            report = run_canary(Plan.of(markets), settings.promotion, processes, reporter)
            text = _selection_text(report)
    _show(report, text, markdown, as_json)
    if not report.alive:
        raise typer.Exit(1)


def _show(report: Findings, text: Text, markdown: str | None, as_json: bool) -> None:
    if as_json:
        print_records([vars(finding) for finding in report.findings], as_json, title="Canaries")
        return
    if markdown is None:
        _print(terminal(), report, text)
        return
    written = io.StringIO()
    _print(Terminal(file=written, width=WIDTH), report, text)
    block = "```\n" + "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n```\n"
    if markdown == "-":
        sys.stdout.write(block)
    else:
        replace_between(Path(markdown), f"<!-- {text.name}:begin -->", f"<!-- {text.name}:end -->", block)


def _print(console: Console, report: Findings, text: Text) -> None:
    columns = ("market", "rule", "rows", "markets", text.found, "rate", "95 % bounds", "asked", "alive")
    console.print(records_table([_row(finding, text.found) for finding in report.findings], text.title, columns))
    size = "at no size that was tried" if report.named_rows is None else f"from {report.named_rows:,} rows on"
    alive = "All canaries are alive." if report.alive else "A canary died: do not trust this selection."
    for line in (*text.lines, f"The planted edge is found {size}.", alive):
        console.print(line, highlight=False, soft_wrap=True)


def _row(finding: Finding, found: str) -> PrintedRow:
    return {
        **vars(finding),
        found: finding.crowned,
        "rate": f"{finding.crowned / finding.markets:.1%}" if finding.markets else None,
        "95 % bounds": f"{finding.lower:.1%} .. {finding.upper:.1%}",
        "asked": finding.asked or "-",
    }


def _selection_text(report: Report) -> Text:
    line = (
        f"Where nothing can be forecast, the cases had a mean skill of {report.mean_skill:+.2%}. The one with the "
        f"lowest error had {report.picked_skill:+.2%} on the rows on which it was selected, and "
        f"{report.fresh_skill:+.2%} on fresh rows."
    )
    title = f"Champions on simulated markets, of {report.cases} cases tried on each"
    return Text("canary", title, "champions", [line])


def _trading_text(report: TradingReport, costs: Costs) -> Text:
    fee = costs.rate(0.0) + costs.slippage
    line = (
        f"Where nothing can be forecast, {report.rules:,} of {report.wanted:,} rules could be chosen. The one with the "
        f"highest gain over holding on validation had {report.picked_pct:+.1f} % there, and {report.fresh_pct:+.1f} % "
        "on fresh rows (geometric means over the markets)."
    )
    title = (
        f"Markets with a rule shown better than holding after {fee:.2%} a side, of {report.cases} cases tried on each"
    )
    return Text("trading-canary", title, "shown", [line])
