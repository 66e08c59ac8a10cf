"""Tables for people: status, leaderboard, results, forecasts, features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsCsv, AsJson, Config, Home, application, require_one_format, workspace
from flows.reporting import Terminal
from flows.terminal.output import PrintedRow, markdown_table, print_csv, print_records, replace_between, terminal
from ml.errors import ConfigurationError
from ml.records import AnyRecord
from ml.store import Store

#: Length of the short keys in tables; `candleworks reproduce` accepts them.
KEY_DIGITS = 8
FIGURES = ("skill", "skill_mean_range", "holdout_skill", "n_trials")
#: Columns that fit on a terminal; --json has all.
LEADERBOARD_COLUMNS = (
    *("key", "symbol", "timeframe", "rank", "model", "rmse_pct", "baseline", "skill", "skill_interval", "standing"),
    *("holdout_skill", "n_trials", "spa_p_value"),
)
RESULT_COLUMNS = ("key", "symbol", "timeframe", "model", "feature_set", "lags", "target", "status")
BENCHMARK_COLUMNS = ("symbol", "timeframe", "model", "evaluated_on", "rmse_pct", "rmse_quote", "baseline", *FIGURES)

Symbol = Annotated[str | None, typer.Option(help="Only this market.")]
Timeframe = Annotated[str | None, typer.Option(help="Only this timeframe.")]


def chosen(records: Sequence[AnyRecord], symbol: str | None, timeframe: str | None) -> list[AnyRecord]:
    """The records of a market, of a timeframe, or all; see `filtered`."""
    return filtered(records, symbol=symbol, timeframe=timeframe)


def filtered(records: Sequence[AnyRecord], **asked: str | None) -> list[AnyRecord]:
    """The records with the requested values, by column; keys match by prefix.

    Raises:
        ConfigurationError: there are records, but none with one of the values, or with all of them.
    """
    left = list(records)
    for name, value in asked.items():
        if value is None or not left:
            continue
        kept = [row for row in left if _has(row, name, value)]
        if not kept:
            there = sorted({str(row[name]) for row in left})
            more = f" and {len(there) - 20:,} more" if len(there) > 20 else ""
            raise ConfigurationError(
                f"No record has the {name.removeprefix('case_')} {value}; there are {', '.join(there[:20])}{more}."
            )
        left = kept
    return left


def _has(row: PrintedRow, name: str, value: str) -> bool:
    return str(row[name]).startswith(value) if name == "case_key" else row[name] == value


def with_key(row: PrintedRow) -> PrintedRow:
    """A record of a case with the short key for tables."""
    return {"key": str(row["case_key"])[:KEY_DIGITS], **row}


def _warn_of_intervals(store: Store) -> None:
    from flows.terminal.tables import interval_alarms  # noqa: PLC0415

    for line in interval_alarms(store):
        warn(line)


def warn(line: str) -> None:
    """Print to stderr, so that stdout holds only the table or JSON."""
    Terminal(stderr=True).print(f"Warning: {line}", style="yellow", highlight=False, soft_wrap=True)


@application.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Redraw every second until the sweep is done.")] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the progress of the sweep and the freshness of the candles, one line per series."""
    from flows.cli.watching import watch_sweep  # noqa: PLC0415
    from flows.terminal.tables import CASES, status_records  # noqa: PLC0415

    store = workspace(home, config).store
    columns = ("symbol", "timeframe", *CASES[2:], "last_candle", "freshness", "gaps", "champion")
    if watch and not as_json:
        raise typer.Exit(0 if watch_sweep(store, columns) else 1)
    print_records(status_records(store), as_json, title="Status", columns=columns)
    _warn_of_intervals(store)


@application.command()
def leaderboard(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    top: Annotated[int, typer.Option(min=0, help="Rows per series; 0: all.")] = 0,
    markdown: Annotated[str | None, typer.Option(help="Put the README's table into this file; - prints it.")] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List test cases by validation skill, with its confidence interval and, once opened, the holdout skill."""
    from flows.terminal.tables import benchmark_records, leaderboard_records, sentences, shown_on_leaderboard  # noqa: PLC0415

    opened = workspace(home, config)
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
    shown = [with_key(shown_on_leaderboard(row)) for row in records]
    print_records(shown, as_json, title="Leaderboard (validation)", columns=LEADERBOARD_COLUMNS)
    for line in verdicts:
        terminal().print(line, soft_wrap=True, highlight=False)


@application.command()
def results(  # noqa: PLR0913, PLR0917 - the options of a command
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Only cases whose key begins so.")] = None,
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    model: Annotated[str | None, typer.Option(help="Only cases of this model.")] = None,
    target: Annotated[str | None, typer.Option(help="Only cases of this target.")] = None,
    status: Annotated[str | None, typer.Option(help="Only tested or failed cases.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also on older datasets, not only on the newest.")] = False,
    top: Annotated[int, typer.Option(min=0, help="Rows at most; 0: all.")] = 0,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List all results in the store, best skill first; failed cases with their error at the end."""
    from flows.terminal.results import other_datasets, result_records  # noqa: PLC0415

    require_one_format(as_json, as_csv)
    place = workspace(home, config)
    found = result_records(place, every=every)
    if not found and (others := other_datasets(place)):
        warn(f"The configured series have no result on their newest datasets; --all lists those of {others} others.")
    asked = {"symbol": symbol, "timeframe": timeframe, "model": model, "target": target, "status": status}
    records = filtered(found, **asked, case_key=key)[: top or None]
    if as_csv:
        print_csv(list(records[0]) if records else [], records)
        return
    failed = bool(records) and all(row["status"] == "failed" for row in records)
    columns = (*RESULT_COLUMNS, *(("error",) if failed else ("rmse_pct", "log_loss", "skill", "walk_forward")))
    print_records([with_key(row) for row in records] if not as_json else records, as_json, "Results", columns)


@application.command()
def forecasts(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    every: Annotated[bool, typer.Option("--all", help="Also past forecasts, not only the current.")] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the sealed forecasts of the next candles."""
    from flows.terminal.tables import forecast_records  # noqa: PLC0415

    store = workspace(home, config).store
    records = chosen(forecast_records(store), symbol, timeframe)
    records = [row for row in records if every or row["is_current"]]
    columns = ("symbol", "timeframe", "target_open_time", "open", "high", "low", "close", "band_low", "band_high")
    print_records(records, as_json, title="Forecasts", columns=(*columns, "model", "late", "error_pct", "reason"))
    _warn_of_intervals(store)


@application.command()
def sql(
    statement: Annotated[str, typer.Argument(help='Such as "select symbol, skill from leaderboard".')],
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Query the published snapshot in SQL (DuckDB); "show tables" lists its tables."""
    from flows.terminal.queries import query  # noqa: PLC0415

    require_one_format(as_json, as_csv)
    columns, rows = query(workspace(home, config).store, statement)
    if as_csv:
        print_csv(columns, rows)
    else:
        print_records(rows, as_json, title="Answer")


@application.command()
def features(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """List the feature catalogue: every column with its group, formula, unit and lookback."""
    from flows.warehouse.transform import feature_catalogue  # noqa: PLC0415

    records = feature_catalogue(workspace(home, config).dbt_target)
    columns = ("column", "group", "relative", "unit", "lookback", "formula")
    print_records(records, as_json, title="Feature catalogue", columns=columns)
