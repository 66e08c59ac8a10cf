"""Servers: the recorded exchange, and all services of a live workspace."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.application import DEFAULT_HOME, Config, Home, application, workspace
from flows.settings import CONFIG_NAME
from flows.terminal.output import print_records, terminal
from ml.errors import ConfigurationError

_console = terminal()
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Default: [services] in the settings.")]


@application.command()
def up(
    server_port: Port = None,
    app_port: Port = None,
    api_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: no HTTP API. Default: [api] in the settings.")
    ] = None,
    cpu_workers: Annotated[int | None, typer.Option(min=0, help="Chunks at a time on this machine's CPU.")] = None,
    gpu_workers: Annotated[int | None, typer.Option(min=0, help="Chunks at a time on this machine's GPU.")] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Run everything live: Prefect server, work pools, workers, dashboard and HTTP API; Ctrl-C stops all."""
    from flows.server.up import UpOptions, check  # noqa: PLC0415
    from flows.server.up import up as run_up  # noqa: PLC0415
    from flows.warehouse.feature_columns import search_spaces  # noqa: PLC0415

    config_path = config or Path(CONFIG_NAME)
    if not config_path.exists():
        raise ConfigurationError(
            f"{config_path} does not exist. Run in the folder that has it, name it with --config, or write one: "
            f"`candleworks init{f' --config {config}' if config else ''}`."
        )
    opened = workspace(home, config)
    services = opened.settings.services
    api = opened.settings.api
    if api_port is not None:
        api = api.model_copy(update={"port": api_port})
    options = UpOptions(
        home=home.resolve(),
        config_path=config_path.resolve(),
        store_url=opened.settings.storage.url,
        server_port=server_port or services.server_port,
        server_names=services.server_names,
        app_port=app_port or services.app_port,
        cpu_workers=services.cpu_workers if cpu_workers is None else cpu_workers,
        gpu_workers=services.gpu_workers if gpu_workers is None else gpu_workers,
        api=api if api.port else None,
    )
    search_spaces(opened)  # else an invalid one would first fail in the nightly run at 01:20
    check(options)
    opened.check_writable()
    run_up(options, _console)


@application.command()
def down(home: Home = DEFAULT_HOME) -> None:
    """Stop all processes that `up` started, including those left by a killed one."""
    from flows.server.down import down as run_down  # noqa: PLC0415

    names = run_down(home.resolve())
    _console.print(f"Ended: {', '.join(names)}." if names else "Nothing of this home was running.")


@application.command()
def lend(
    name: Annotated[str, typer.Argument(help="Name of the other machine; default: the pool and a number.")] = "",
    pool: Annotated[Literal["cpu", "gpu"], typer.Option(help="Work pool whose chunks the other machine runs.")] = "cpu",
    limit: Annotated[int, typer.Option(min=1, help="Chunks at a time: one per core, or one per GPU.")] = 1,
    revoke: Annotated[bool, typer.Option("--revoke", help="End the keys of the machine.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Show lent machines, and results set aside.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the command that starts a worker on another machine, with keys for it alone; or end them (--revoke)."""
    from flows.server.lend import worker_line  # noqa: PLC0415
    from flows.workspace.worker_keys import lent_machines  # noqa: PLC0415
    from flows.workspace.worker_keys import revoke as end_keys  # noqa: PLC0415
    from flows.workspace.workspace import refusals_of  # noqa: PLC0415

    if revoke and list_all:
        raise ConfigurationError("--revoke and --list exclude each other. Give one of them.")
    folder, now = home.resolve(), datetime.now(UTC)
    if list_all:
        shown = [one.model_dump(include={"name", "pool", "lent_at", "revoked_at"}) for one in lent_machines(folder)]
        print_records(shown, False, "Lent machines")
        for refusal in refusals_of(folder):
            _console.print(f"Set aside: {refusal.path}: {refusal.reason}", soft_wrap=True, highlight=False)
    elif revoke:
        ended = end_keys(folder, name, now)
        _console.print(f"{ended.name} is no longer let in, and its new results are set aside. Earlier ones stay.")
    else:
        typer.echo(worker_line(folder, name, pool, limit, now))


@application.command()
def app(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Run only the dashboard, on the newest published snapshot."""
    from flows.processes.ports import require_free_port  # noqa: PLC0415

    store_url = workspace(home, config).store_url
    require_free_port(port, "the dashboard", "--port")
    local = "://" not in store_url
    os.environ["CANDLEWORKS_STORE"] = str(Path(store_url).resolve()) if local else store_url
    _console.print(f"Dashboard: http://127.0.0.1:{port} (Ctrl-C ends it)")
    # By name, not by import: neither of flows and app depends on the other.
    os.execv(sys.executable, [sys.executable, "-m", "app", "--port", str(port)])


@application.command()
def replay(
    now: Annotated[datetime, typer.Option(help="Replayed time at the start, UTC.")],
    candles: Annotated[
        Path | None, typer.Option(help="Folder of recorded candles; default: simulated markets.")
    ] = None,
    exchange: Annotated[str, typer.Option(help="The exchange's folder below the candles.")] = "binance",
    speed: Annotated[float, typer.Option(min=0, help="Replayed seconds per second; 0: the clock is stopped.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8900,
) -> None:
    """Serve recorded or simulated candles as the exchange would, with its clock, rate limits and faults."""
    from flows.replay import serve_forever  # noqa: PLC0415

    serve_forever(
        candles, exchange, now.replace(tzinfo=now.tzinfo or UTC), speed=speed, port=port, announce=_console.print
    )
