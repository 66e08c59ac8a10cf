"""Backups: copies of a home from which it can be restored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, Config, Home, application, workspace
from ml.errors import ServiceError


@application.command()
def backup(
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Copy the home into a new folder, also while flows run, and read the copy again.

    It holds the secrets and the signing key of the home: keep it as safe as the home. The settings file is not in the
    home; keep it with it.
    """
    from flows.warehouse.verification import verify_home  # noqa: PLC0415
    from flows.workspace.backup import make_backup  # noqa: PLC0415

    opened = workspace(home, config)
    made = make_backup(opened, target, datetime.now(UTC))
    size = sum(file.size for file in made.files.values())
    typer.echo(
        f"{target}: {len(made.files):,} files, {size / 2**20:,.0f} MiB, read again. It holds the home's secrets."
    )
    for problem in dict.fromkeys(report.problem for report in verify_home(opened) if report.problem):
        typer.echo(f"Warning: the home itself is not whole: {problem}", err=True)


@application.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `backup` wrote.")],
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Move a home that has content to <home>.replaced-<time>."),
    ] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Make the home from a backup, which is checked first, and verify its chains."""
    from flows.server.process_records import read_records  # noqa: PLC0415
    from flows.warehouse.verification import verify_home  # noqa: PLC0415
    from flows.workspace.backup import restore_backup  # noqa: PLC0415

    if any(record.find() for record in read_records(home)):
        raise ServiceError(f"`candleworks up` is running in {home}. Run `candleworks down --home {home}` first.")
    opened = workspace(home, config)
    done = restore_backup(source, opened, datetime.now(UTC), replace=replace)
    if problem := next((report.problem for report in verify_home(opened) if report.problem), ""):
        typer.echo(f"Warning: the chains were not whole when the backup was made: {problem}", err=True)
        raise typer.Exit(1)
    typer.echo(
        f"{home}: the state of {done.made_at[:16].replace('T', ' ')} UTC, {len(done.files):,} files; chains whole."
    )
