"""The single steps of the pipeline, for engineers who work on one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.reporting import Terminal
from flows.terminal.output import print_records, terminal

_console = terminal()
Spaces = Annotated[
    list[Path] | None,
    typer.Option("--space", help="Search spaces to use instead of those of the settings; may be repeated."),
]

#: The next step after each one, for users who run the pipeline by hand.
NEXT = {
    "ingest": "`candleworks transform` computes the features of the new candles",
    "outside": "`candleworks transform` puts the values into the features",
    "transform": "`candleworks export` writes datasets for a sweep; `candleworks publish` updates the dashboard",
    "export": "`candleworks sweep` evaluates the test cases on the datasets",
    "sweep": "`candleworks results` lists every case; `candleworks significance` measures what could be luck; "
    "`candleworks transform` and then `candleworks publish` bring the results to the leaderboard",
    "significance": "`candleworks promote` runs the promotion gate on the best cases",
    "promote": "`candleworks forecast` issues the champions' forecasts",
    "forecast": "`candleworks score` once their candles have closed; `candleworks transform` and then "
    "`candleworks publish` show them",
    "score": "`candleworks transform` and then `candleworks publish` show the scores",
    "publish": "`candleworks leaderboard`, `candleworks forecasts` or `candleworks app`",
}


def _say_what_comes_next(step: str, as_json: bool = False) -> None:
    """Print to stderr, so that stdout holds only the table; nothing for programs, which ask for JSON."""
    if as_json:
        return
    Terminal(stderr=True).print(f"Next: {NEXT[step]}.", style="dim", highlight=False, soft_wrap=True)


@application.command()
def ingest(
    home: Home = DEFAULT_HOME,
    config: Config = None,
    from_time: Annotated[
        str | None, typer.Option("--from", help="Read again from this time (ISO 8601; UTC without a zone).")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... up to this time; without it, to now.")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="Only this market; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load new and revised closed candles of all markets through the quality gate.

    Exit code 1 where a market's load is partial, stopped or failed.
    """
    from flows.ingestion.exchange import exchange_time_ms  # noqa: PLC0415
    from flows.ingestion.ingest_options import asked_span, chosen_symbols, require_a_market  # noqa: PLC0415
    from flows.server.flow_runs import run_flow  # noqa: PLC0415

    opened = workspace(home, config)
    symbols = chosen_symbols(opened.settings, symbol or [])
    # Before anything is started, so that an exchange that is down or has none of the markets leaves no trace here.
    span = asked_span(opened.settings, from_time, to_time, exchange_time_ms(opened.settings))
    if not opened.settings.combine.sources:  # of several sources one may fail
        require_a_market(opened.settings, symbols)
    with run_flow(opened, _console, quiet=as_json) as run:
        from flows.ingestion.markets import run_ingest  # noqa: PLC0415

        reports = run("ingest", lambda home, reporter: run_ingest(home, reporter, span, symbols))
    print_records([vars(report) for report in reports], as_json, title="Loads")
    _say_what_comes_next("ingest", as_json)
    if any(report.status != "ok" for report in reports):
        raise typer.Exit(1)


@application.command()
def outside(
    name: Annotated[str, typer.Argument(help="The series: sentiment, funding_rate or order_book.")],
    file: Annotated[Path, typer.Argument(help="CSV or Parquet with available_at (UTC) and value.")],
    symbol: Annotated[str, typer.Option(help="Market of the values; default: all markets.")] = "",
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Load an exogenous series: market data other than candles, with the time from which each value was available."""
    from flows.ingestion.exchange import exchange_time_ms  # noqa: PLC0415
    from flows.ingestion.exogenous import check_slot, load_exogenous, read_exogenous  # noqa: PLC0415

    opened = workspace(home, config)
    check_slot(opened, name, symbol)  # before any request to the exchange
    values = read_exogenous(file)
    report = load_exogenous(opened, name, symbol, values, exchange_time_ms(opened.settings))
    _console.print(
        f"{name} of {symbol or 'all markets'}: {report.received:,} values read, {report.inserted:,} new, "
        f"{report.revised:,} revised"
    )
    _say_what_comes_next("outside")


@application.command()
def validate(
    home: Home = DEFAULT_HOME,
    config: Config = None,
    docs: Annotated[Path | None, typer.Option(help="Write Data Docs (HTML) into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the quality gate over all stored candles; changes nothing."""
    from expectations.docs import build_data_docs  # noqa: PLC0415
    from flows.ingestion.validate import validate_stored  # noqa: PLC0415

    reports = validate_stored(workspace(home, config))
    rows = [
        {
            "exchange": report.market.exchange,
            "symbol": report.market.symbol,
            "timeframe": report.market.timeframe,
            **check,
        }
        for report in reports
        for check in report.check_rows()
    ]
    print_records(
        rows,
        as_json,
        title="Quality checks",
        columns=("exchange", "symbol", "rule", "severity", "success", "rows_failed"),
    )
    if docs is not None:
        _console.print(f"Data Docs: {build_data_docs(reports, docs)}", soft_wrap=True)
    if any(not row["success"] and row["severity"] == "error" for row in rows):
        raise typer.Exit(1)


@application.command()
def transform(
    all_tests: Annotated[
        bool, typer.Option("--all-tests", help="Also the data tests that otherwise run only every night.")
    ] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
) -> None:
    """Build all dbt models and run their tests."""
    from flows.forecasting.rounds import weigh_rounds  # noqa: PLC0415
    from flows.warehouse.load import load_store  # noqa: PLC0415
    from flows.warehouse.marts import transform as build  # noqa: PLC0415

    opened = workspace(home, config)
    _console.print(build(opened, "candles", all_tests))
    load_store(opened)
    weigh_rounds(opened)
    _console.print(build(opened, "store", all_tests))
    _say_what_comes_next("transform")


@application.command()
def docs(home: Home = DEFAULT_HOME, config: Config = None) -> None:
    """Write the documentation of all dbt models as one static page."""
    from flows.warehouse.marts import write_docs  # noqa: PLC0415

    _console.print(f"Documentation: {write_docs(workspace(home, config))}", soft_wrap=True)


@application.command()
def export(space: Spaces = None, home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Export one immutable dataset per series to the store, with the columns used by search spaces and champions."""
    from flows.warehouse.export import export_all  # noqa: PLC0415
    from flows.warehouse.feature_columns import with_spaces  # noqa: PLC0415

    datasets = export_all(with_spaces(workspace(home, config), space or []))
    print_records(
        [{"series": name, "dataset_id": value} for name, value in datasets.items()], as_json, title="Datasets"
    )
    _say_what_comes_next("export", as_json)


@application.command()
def sweep(
    space: Spaces = None,
    symbol: Annotated[list[str] | None, typer.Option(help="Only this market; may be repeated.")] = None,
    timeframe: Annotated[list[str] | None, typer.Option(help="Only this timeframe; may be repeated.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the work to do, what it adds to N, and its expected duration.")
    ] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate all test cases that have no result on the newest datasets.

    Exit code 1 where a case failed or could not be evaluated; the reasons are printed.
    """
    from flows.warehouse.feature_columns import chosen_series, with_spaces  # noqa: PLC0415

    opened = with_spaces(workspace(home, config), space or [])
    only = chosen_series(opened.settings, symbol, timeframe) if symbol or timeframe else []
    if dry_run:
        from flows.sweep.dry_run import dry_run as count  # noqa: PLC0415
        from flows.sweep.sweep import open_sweep  # noqa: PLC0415

        with opened.local_pool() as pool:
            planned = count(opened, open_sweep(opened, pool.size, only))
        print_records(planned, as_json, title="Dry run, work to do", columns=list(planned[0])[1:])
        return
    from flows.server.flow_runs import run_flow  # noqa: PLC0415

    with run_flow(opened, _console, quiet=as_json) as run, opened.local_pool() as pool:
        from flows.sweep.run import run_sweep  # noqa: PLC0415

        counts = run("sweep", lambda home, reporter: run_sweep(home, pool, reporter, only))
    if as_json:
        print_records([counts], as_json, title="Sweep")
    _say_what_comes_next("sweep", as_json)
    if counts["cases_done"] < counts["cases_total"] or counts["cases_failed"] or counts["series_left_out"]:
        raise typer.Exit(1)


@application.command()
def significance(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Measure how far the results on the newest datasets could be luck: intervals, SPA p-value, confidence set."""
    from flows.server.flow_runs import run_flow  # noqa: PLC0415

    opened = workspace(home, config)
    with run_flow(opened, _console, quiet=as_json) as run, opened.local_pool() as pool:
        from flows.promotion.steps import run_significance  # noqa: PLC0415

        measured = run("significance", run_significance, pool)
    rows = [{"series": name, "cases": cases} for name, cases in measured.items()]
    print_records(rows, as_json, title="Newly measured")
    _say_what_comes_next("significance", as_json)


@application.command()
def promote(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Run the promotion gate on the best case of every series."""
    from flows.server.flow_runs import run_flow  # noqa: PLC0415

    opened = workspace(home, config)
    with run_flow(opened, _console, quiet=as_json) as run, opened.local_pool() as pool:
        from flows.promotion.steps import run_promotion  # noqa: PLC0415

        verdicts = run("promote", run_promotion, pool)
    print_records(
        verdicts, as_json, title="New verdicts", columns=("symbol", "timeframe", "model", "decision", "reason")
    )
    _say_what_comes_next("promote", as_json)


@application.command()
def forecast(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Seal a forecast for every series whose next candle has none yet."""
    from flows.forecasting.forecast import forecast_all  # noqa: PLC0415

    made = forecast_all(workspace(home, config))
    columns = ("symbol", "timeframe", "target_open_time", "high", "low", "close", "model")
    print_records(made, as_json, title="New forecasts", columns=columns)
    _say_what_comes_next("forecast", as_json)


@application.command()
def score(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Score every forecast whose candle has closed."""
    from flows.forecasting.forecast import score_all  # noqa: PLC0415

    made = score_all(workspace(home, config))
    columns = ("symbol", "timeframe", "target_open_time", "error_pct", "baseline_error_pct", "covered")
    print_records(made, as_json, title="New scores", columns=columns)
    _say_what_comes_next("score", as_json)


@application.command()
def publish(home: Home = DEFAULT_HOME, config: Config = None) -> None:
    """Publish a snapshot of the marts for the dashboard."""
    from flows.forecasting.publish import publish as write  # noqa: PLC0415

    version, new = write(workspace(home, config))
    _console.print(f"version {version}{'' if new else ' is current already'}")
    _say_what_comes_next("publish")


@application.command()
def reproduce(key: str, home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Evaluate the test case KEY again from its stored dataset and compare with the stored result."""
    from flows.studies.reproduce import reproduce_case, since_changed  # noqa: PLC0415

    opened = workspace(home, config)
    rows = reproduce_case(opened, key)
    print_records(rows, as_json, title=f"Test case {key}")
    if changed := since_changed(opened, key):
        Terminal(stderr=True).print(
            f"The formulas of its columns {', '.join(changed)} have changed since: the result is valid for its own "
            "dataset, but not ranked with newer ones. `candleworks sweep` evaluates the case on the newest dataset.",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    if any(not row["equal"] for row in rows):
        raise typer.Exit(1)


@application.command()
def reference(
    symbol: Annotated[str, typer.Option(help="Which market.")] = "BTC/USDT",
    timeframe: Annotated[str, typer.Option(help="Which timeframe.")] = "1h",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training; the reference has 750.")] = 750,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Train the Bitcoin Factory's LSTM by its original procedure and compare it with the baselines."""
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.studies.reference import run_reference  # noqa: PLC0415

    with TerminalReporter(Terminal(stderr=as_json)) as reporter:
        record = run_reference(workspace(home, config), symbol, timeframe, epochs, reporter)
    print_records([record], as_json, title="Reference preset")
