"""Seals: verification of the sealed chains, and their heads for a copy elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.reporting import Terminal
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
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="For a copy of the store without its home: its public key, from `candleworks heads`; may be repeated."
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check the sealed chains and the signatures of this home; exit code 1 names the first bad record."""
    from flows.warehouse.verification import verify_home  # noqa: PLC0415

    reports = verify_home(workspace(home, config), head or [], key or [])
    rows = [{**vars(report), "note": report.note} for report in reports]
    print_records(rows, as_json, title="Chains", columns=("chain", "records", "head", "note"))
    if not as_json:
        for report in reports:
            if report.records and report.head:
                typer.echo(f"{report.chain}: {report.anchor}")
    problems = dict.fromkeys(report.problem for report in reports if report.problem)
    for problem in problems:
        Terminal(stderr=True).print(
            f"candleworks: {problem}", style="bold red", markup=False, highlight=False, soft_wrap=True
        )
    if problems:
        raise typer.Exit(1)


@application.command()
def heads(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Print the last hash of each chain, to be kept by a third party for `verify --head`."""
    from flows.forecasting.anchor import head_records  # noqa: PLC0415

    opened = workspace(home, config)
    print_records(head_records(opened.store), as_json, title="Heads")
    trust = opened.trust()
    if trust is not None and not as_json:
        typer.echo(f"Public key of this home: {trust.public}")


@application.command("new-key")
def new_key(home: Home = DEFAULT_HOME, config: Config = None) -> None:
    """Replace the signing key of the home, after it was lost or seen by others; accepts all present records.

    `candleworks verify` counts the records from before it.
    """
    from flows.workspace.signing import renew_key, signing_key_path  # noqa: PLC0415

    made = renew_key(home, workspace(home, config).store, datetime.now(UTC))
    accepted = sum(head.sequence for head in made.trust.accepted.values())
    typer.echo(
        f"New signing key in {signing_key_path(home)}: {accepted:,} earlier records are accepted as they are. "
        "Restart `candleworks up`, and keep a copy: `candleworks backup`."
    )


@application.command("reload-chains")
def reload(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Put the sealed records of the store in place of those in the warehouse, where the two differ."""
    from flows.warehouse.load import reload_chains  # noqa: PLC0415

    loaded = reload_chains(workspace(home, config))
    print_records([{"chain": name, "records": count} for name, count in loaded.items()], as_json, title="Loaded")
