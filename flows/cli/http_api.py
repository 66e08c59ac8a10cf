"""The HTTP API: its server, and keys for its clients."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.terminal.output import print_records, terminal

#: Bytes of a key.
KEY_BYTES = 32


@application.command()
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: [api] in the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: [api] in the settings.")] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Run only the HTTP API, on the newest published snapshot and the saved models."""
    from flows.processes.ports import require_free_port  # noqa: PLC0415
    from flows.server.http_api import DEFAULT_PORT, api_command, api_environment, check_host  # noqa: PLC0415

    opened = workspace(home, config)
    given = opened.settings.api
    settings = given.model_copy(update={"host": host or given.host, "port": port or given.port or DEFAULT_PORT})
    check_host(settings)
    require_free_port(settings.port, "the HTTP API", "--port")
    url = opened.store_url
    os.environ.update(api_environment(url if "://" in url else str(Path(url).resolve()), settings))
    terminal().print(f"HTTP API: http://{settings.host}:{settings.port}/docs (Ctrl-C ends it)")
    command = api_command()
    os.execv(command[0], command)


@application.command(name="api-key")
def api_key(name: Annotated[str, typer.Argument(help="Name of the client, such as monitoring.")]) -> None:
    """Make a key for a client of the HTTP API: prints it once, and its line for the settings."""
    import hashlib  # noqa: PLC0415
    import re  # noqa: PLC0415

    from flows.settings import CONFIG_NAME, KEY_NAME  # noqa: PLC0415
    from ml.errors import ConfigurationError  # noqa: PLC0415

    if not re.fullmatch(KEY_NAME, name):
        raise ConfigurationError(
            f"{name!r} is no name of a key. Use a small letter, then small letters, digits, - and _, such as phone-2."
        )
    key = f"cw_{secrets.token_urlsafe(KEY_BYTES)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    typer.echo(f"Key, shown this once; its client sends it as X-API-Key:\n{key}\n")
    typer.echo(f'Line for {CONFIG_NAME}:\n[api.keys]\n{name} = "sha256:{digest}"')


@application.command(name="chart-model")
def chart_model(  # noqa: PLR0913, PLR0917 - the options of a command
    symbol: Annotated[str, typer.Option(help="Market to learn from.")],
    timeframe: Annotated[str, typer.Option(help="Its timeframe.")] = "1h",
    rows: Annotated[int, typer.Option(min=100, help="Latest train rows to learn from.")] = 5000,
    epochs: Annotated[int, typer.Option(min=1, help="Most epochs.")] = 6,
    units: Annotated[int, typer.Option(min=1, help="Width of the network.")] = 16,
    depth: Annotated[int, typer.Option(min=1, max=4, help="Stages of the network.")] = 4,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Fit the model that predicts charts for clients of the HTTP API, and let it serve."""
    from dataclasses import asdict  # noqa: PLC0415

    from ml.data.dataset_pointers import newest_dataset_of  # noqa: PLC0415
    from ml.data.datasets import read_dataset  # noqa: PLC0415
    from ml.promotion.chart_model import make_chart_model  # noqa: PLC0415

    store = workspace(home, config).store
    dataset = read_dataset(store, newest_dataset_of(store, symbol, timeframe))
    params: dict[str, int | float | str | bool] = {"epochs": epochs, "units": units, "depth": depth}
    fitted = make_chart_model(store, dataset, rows, params)
    print_records([asdict(fitted)], as_json, title="Chart model")
