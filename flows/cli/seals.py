"""Seals: verification of the sealed chains, and their heads for a copy elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.terminal.output import print_records


@application.command()
def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="A hash published earlier (HASH of any chain, or CHAIN:HASH), to detect a truncated or rewritten "
            "chain; may be repeated."
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check the sealed chains of verdicts, forecasts and scores; exit code 1 names the first bad record."""
    from ml.forecasting.seals import verify_chains  # noqa: PLC0415

    reports = verify_chains(workspace(home, config).store, head or [])
    print_records([vars(report) for report in reports], as_json, title="Chains", columns=("chain", "records", "head"))
    problems = dict.fromkeys(report.problem for report in reports if report.problem)
    for problem in problems:
        Console(stderr=True).print(
            f"candleworks: {problem}", style="bold red", markup=False, highlight=False, soft_wrap=True
        )
    if problems:
        raise typer.Exit(1)


@application.command()
def heads(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Print the last hash of each chain, to be kept by a third party for `verify --head`."""
    from flows.forecasting.anchor import head_records  # noqa: PLC0415

    print_records(head_records(workspace(home, config).store), as_json, title="Heads")
