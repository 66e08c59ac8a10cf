"""What people ask for: status, leaderboard, forecasts, features."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, installation
from flows.output import markdown_table, print_csv, print_records, replace_between, terminal
from ml.errors import ConfigurationError

FIGURES = ("skill", "skill_mean_range", "holdout_skill", "n_trials")
#: What fits beside each other on a terminal; --json has everything.
LEADERBOARD_COLUMNS = (
    *("symbol", "timeframe", "rank", "model", "rmse_pct", "baseline", "skill", "skill_interval", "standing"),
    *("holdout_skill", "n_trials", "spa_p_value"),
)
BENCHMARK_COLUMNS = ("symbol", "timeframe", "model", "judged_on", "rmse_pct", "rmse_quote", "baseline", *FIGURES)

Symbol = Annotated[str | None, typer.Option(help="Only this market.")]
Timeframe = Annotated[str | None, typer.Option(help="Only this timeframe.")]


def chosen(records: list[dict[str, Any]], symbol: str | None, timeframe: str | None) -> list[dict[str, Any]]:
    """The records of a market, of a timeframe, or all.

    Raises:
        ConfigurationError: there are records, but none of that market or timeframe.
    """
    for name, asked in (("symbol", symbol), ("timeframe", timeframe)):
        there = {row[name] for row in records}
        if asked is not None and there and asked not in there:
            raise ConfigurationError(f"Nothing here has the {name} {asked}; there are {', '.join(sorted(there))}.")
    return [
        row
        for row in records
        if (symbol is None or row["symbol"] == symbol) and (timeframe is None or row["timeframe"] == timeframe)
    ]


def _warn_of_bands(store: Any) -> None:
    """On the error output, so that tables and JSON stay what they are."""
    from flows.tables import band_alarms  # noqa: PLC0415

    for line in band_alarms(store):
        Console(stderr=True).print(f"Warning: {line}", style="yellow", highlight=False, soft_wrap=True)


@application.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Redraw every second until the sweep is done.")] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """How far the sweep is and how fresh the candles are, a line a series."""
    from flows.cli.watching import watch_sweep  # noqa: PLC0415
    from flows.tables import CASES, status_records  # noqa: PLC0415

    store = installation(home, config).store
    columns = ("symbol", "timeframe", *CASES[2:], "last_candle", "freshness", "gaps", "champion")
    if watch and not as_json:
        raise typer.Exit(0 if watch_sweep(store, columns) else 1)
    print_records(status_records(store), as_json, title="Status", columns=columns)
    _warn_of_bands(store)


@application.command()
def leaderboard(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    top: Annotated[int, typer.Option(min=0, help="Rows a series; 0: all.")] = 0,
    markdown: Annotated[str | None, typer.Option(help="Put the README's table into this file; - prints it.")] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Test cases by their skill on validation, with how far it could be luck and, once it was opened, the holdout."""
    from flows.tables import benchmark_records, leaderboard_records, sentences, shown_on_leaderboard  # noqa: PLC0415

    opened = installation(home, config)
    store = opened.store
    if markdown is not None:
        table = markdown_table(chosen(benchmark_records(store), symbol, timeframe), BENCHMARK_COLUMNS)
        if markdown == "-":
            sys.stdout.write(table)
        else:
            replace_between(Path(markdown), "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->", table)
        return
    records = chosen(leaderboard_records(store), symbol, timeframe)
    verdicts = sentences(records, opened.settings.promotion.search_alpha)
    records = [row for row in records if top == 0 or row["rank"] <= top]
    if as_json:
        print_records(records, as_json, title="")
        return
    shown = [shown_on_leaderboard(row) for row in records]
    print_records(shown, as_json, title="Leaderboard (validation)", columns=LEADERBOARD_COLUMNS)
    for line in verdicts:
        terminal().print(line, soft_wrap=True, highlight=False)


@application.command()
def forecasts(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    every: Annotated[bool, typer.Option("--all", help="Past ones too, not only the current.")] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """The sealed forecasts of the next candles."""
    from flows.tables import forecast_records  # noqa: PLC0415

    store = installation(home, config).store
    records = chosen(forecast_records(store), symbol, timeframe)
    records = [row for row in records if every or row["is_current"]]
    columns = ("symbol", "timeframe", "target_open_time", "open", "high", "low", "close", "band_low", "band_high")
    print_records(records, as_json, title="Forecasts", columns=(*columns, "model", "late", "error_pct", "reason"))
    _warn_of_bands(store)


@application.command()
def sql(
    statement: Annotated[str, typer.Argument(help='Such as "select symbol, skill from leaderboard".')],
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")] = False,
) -> None:
    """Ask the published snapshot in SQL (DuckDB's); "show tables" lists what it holds."""
    from flows.queries import query  # noqa: PLC0415

    if as_json and as_csv:
        raise ConfigurationError("--json and --csv exclude each other. Give one of them.")
    columns, rows = query(installation(home, config).store, statement)
    if as_csv:
        print_csv(columns, rows)
    else:
        print_records(rows, as_json, title="Answer")


@application.command()
def features(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """The feature catalogue: every column with its group, formula, unit and lookback."""
    from flows.warehouse.transform import feature_catalogue  # noqa: PLC0415

    records = feature_catalogue(installation(home, config).dbt_target)
    columns = ("column", "group", "relative", "unit", "lookback", "formula")
    print_records(records, as_json, title="Feature catalogue", columns=columns)
