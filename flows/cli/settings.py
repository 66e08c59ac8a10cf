"""`candleworks init`: writes an initial settings file."""

from __future__ import annotations

from pathlib import Path

import typer

from flows.cli.application import Config, application
from flows.settings import CONFIG_NAME
from ml.errors import ConfigurationError


@application.command()
def init(config: Config = None) -> None:
    """Write a settings file with the default exchange, markets and ports, to be edited; `up` requires it."""
    from flows.workspace.product_files import product_file  # noqa: PLC0415

    path = config or Path(CONFIG_NAME)
    content = product_file(CONFIG_NAME).read_bytes()
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} already exists. Edit it, or write another one: `candleworks init --config other.toml`."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path} ({error.strerror}). Name another with --config.") from error
    typer.echo(f"{path}: edit its markets, then `candleworks up` runs everything live.")
