"""`candleworks demo`: the whole loop, offline, on simulated or recorded candles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, Config, Home, application


@application.command()
def demo(
    candles: Annotated[
        Path | None, typer.Option(help="Folder of recorded candles; default: simulated markets.")
    ] = None,
    markets: Annotated[str | None, typer.Option(help="Symbols, separated by commas.")] = None,
    now: Annotated[str | None, typer.Option(help="Time of the replayed clock, ISO 8601, UTC.")] = None,
    hours: Annotated[int, typer.Option(min=0, max=48, help="Live hours to replay after the night's sweep.")] = 2,
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Run everything once: exchange, ingest, quality gate, dbt, datasets, sweep, champions, forecasts, publish."""
    from flows.simulation.demo import run_demo  # noqa: PLC0415

    symbols = [symbol.strip() for symbol in markets.split(",") if symbol.strip()] if markets else None
    run_demo(home, config, candles, symbols, now, hours)
