"""`candleworks rehearse`: days of live operation against a recorded exchange, in minutes."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.application import AsJson, Config, application
from flows.reporting import Terminal
from flows.terminal.output import print_records, terminal


@application.command()
def rehearse(  # noqa: PLR0913, PLR0917 - the options of a command
    candles: Annotated[
        Path | None, typer.Option(help="Folder of recorded candles; default: simulated markets.")
    ] = None,
    markets: Annotated[str | None, typer.Option(help="Symbols, separated by commas.")] = None,
    timeframe: Annotated[
        str, typer.Option(help="Timeframes to forecast: 1h, 4h, 1d or several, separated by commas.")
    ] = "4h",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days to replay.")] = 7,
    faults: Annotated[bool, typer.Option(help="Faults of the exchange, a killed worker, a restarted server.")] = True,
    seed: Annotated[int, typer.Option(help="Random seed of the faults.")] = 0,
    home: Annotated[
        Path | None, typer.Option(help="A new folder to keep; default: a temporary one, kept if something fails.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Run the live system through replayed days, candle by candle, with faults; then check its sealed records."""
    from flows.simulation.driver import Rehearsal  # noqa: PLC0415
    from flows.simulation.driver import rehearse as run_rehearsal  # noqa: PLC0415

    where = home or Path(tempfile.mkdtemp(prefix="candleworks-rehearsal-"))
    symbols = [symbol.strip() for symbol in markets.split(",") if symbol.strip()] if markets else None
    timeframes = tuple(name.strip() for name in timeframe.split(",") if name.strip())
    rehearsal = Rehearsal(where, config, candles, symbols, timeframes, days, faults, seed)
    report = run_rehearsal(rehearsal, Terminal(stderr=True) if as_json else terminal())
    if as_json:
        json.dump(report.document(), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        figures = [{"what": name.replace("_", " "), "figure": _plain(value)} for name, value in report.figures.items()]
        print_records(figures, as_json=False, title="Figures of the run")
        checks = [vars(check) for check in report.checks]
        print_records(checks, as_json=False, title="Checks", columns=("holds", "name", "detail"))
    if not report.holds:
        raise typer.Exit(1)
    if home is None:
        shutil.rmtree(where)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name.lower()}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
