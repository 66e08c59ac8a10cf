"""The canaries: tests whether the selection of this workspace can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli.application import AsJson, Config, application
from flows.terminal.output import PrintedRow, print_records, terminal

if TYPE_CHECKING:
    from ml.canaries.report import Finding, Report

QUICK_SEEDS = 20
COLUMNS = ("market", "rule", "rows", "markets", "champions", "rate", "95 % bounds", "asked", "alive")


@application.command()
def canary(
    seeds: Annotated[int, typer.Option(min=1, help="Number of null markets; planted ones in proportion.")] = 200,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK_SEEDS} seeds, for a first look.")] = False,
    processes: Annotated[int, typer.Option(min=0, help="Single-threaded worker processes; 0: one per core.")] = 0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Select champions on simulated markets where nothing can be forecast, and on some with a known edge."""
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.settings import load_settings  # noqa: PLC0415
    from flows.studies.canary import run_canary  # noqa: PLC0415
    from ml.canaries.report import Plan  # noqa: PLC0415

    plan = Plan.of(QUICK_SEEDS if quick else seeds)
    promotion = load_settings(config).promotion
    with TerminalReporter(Console(stderr=True)) as reporter:
        report = run_canary(plan, promotion, processes, reporter)
    _show(report, as_json)
    if not report.alive:
        raise typer.Exit(1)


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        print_records([vars(finding) for finding in report.findings], as_json, title="Canaries")
        return
    title = f"Champions on simulated markets, of {report.cases} cases tried on each"
    print_records([_row(finding) for finding in report.findings], as_json, title=title, columns=COLUMNS)
    console = terminal()
    console.print(
        f"Where nothing can be forecast, the cases had a mean skill of {report.mean_skill:+.2%}. The one with the "
        f"lowest error had {report.picked_skill:+.2%} on the rows on which it was selected, and "
        f"{report.fresh_skill:+.2%} on fresh rows.",
        highlight=False,
        soft_wrap=True,
    )
    size = "at no size that was tried" if report.named_rows is None else f"from {report.named_rows:,} rows on"
    console.print(f"The planted edge is found {size}.", highlight=False)
    console.print("All canaries are alive." if report.alive else "A canary died: do not trust this selection.")


def _row(finding: Finding) -> PrintedRow:
    return {
        **vars(finding),
        "champions": finding.crowned,
        "rate": f"{finding.crowned / finding.markets:.1%}" if finding.markets else None,
        "95 % bounds": f"{finding.lower:.1%} .. {finding.upper:.1%}",
        "asked": finding.asked or "-",
    }
