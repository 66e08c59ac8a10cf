"""The typer application and the options that commands share. Commands register themselves when imported."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from ml.errors import ConfigurationError

application = typer.Typer(
    name="candleworks",
    help="Forecasts exchange candles on a leaderboard that does not fool its owner.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Home = Annotated[Path, typer.Option("--home", help="Folder of the workspace.", envvar="CANDLEWORKS_HOME")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings file; default candleworks.toml of this folder.", envvar="CANDLEWORKS_CONFIG"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print records as JSON instead of a table.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")]
DEFAULT_HOME = Path(".candleworks")


def require_one_format(as_json: bool, as_csv: bool) -> None:
    """Refuse both.

    Raises:
        ConfigurationError: both are asked for.
    """
    if as_json and as_csv:
        raise ConfigurationError("--json and --csv exclude each other. Give one of them.")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"candleworks {version('candleworks')}")
        raise typer.Exit


@application.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""


def workspace(home: Path, config: Path | None) -> Any:
    """Open the workspace; imported here so that `--help` stays fast."""
    from flows.workspace.workspace import open_workspace  # noqa: PLC0415

    return open_workspace(home, config)
