"""Analyses of tested cases: effects, decision boundaries, reports; and bulk inference."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.application import DEFAULT_HOME, AsCsv, AsJson, Config, Home, application, require_one_format, workspace
from flows.cli.tables import Symbol, Timeframe
from flows.reporting import Terminal
from flows.terminal.output import print_records, terminal
from ml.errors import ConfigurationError

EFFECT_COLUMNS = (
    "symbol", "timeframe", "rank", "factor", "share", "90 % interval", "best", "worst", "n", "n_failed",
)  # fmt: skip
VALUE_COLUMNS = (
    "symbol",
    "timeframe",
    "factor",
    "value",
    "mean skill",
    "90 % interval",
    "best",
    "n",
    "n_failed",
    "note",
)
Again = Annotated[bool, typer.Option("--again", help="Compute again, even where nothing has changed.")]


@application.command()
def effects(  # noqa: PLR0913, PLR0917 - the options of a command
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    factor: Annotated[str | None, typer.Option(help="The values of this factor instead of the ranked factors.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only cases with this value, such as model=ridge; may be repeated.")
    ] = None,
    best_half: Annotated[bool, typer.Option("--best-half", help="Only the better half of the tested cases.")] = False,
    again: Again = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Rank what moved the skill: model, settings, feature groups, parameters; computed where results have changed."""
    from flows.analysis.effects import run_effects  # noqa: PLC0415
    from flows.analysis.series import chosen_datasets  # noqa: PLC0415
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.terminal.effects import effect_records  # noqa: PLC0415

    opened = workspace(home, config)
    with TerminalReporter(Terminal(stderr=True)) as reporter:
        run_effects(opened, reporter, symbol, timeframe, again)
    asked = dict(_pair(text) for text in where or ())
    records, thin = effect_records(opened.store, chosen_datasets(opened, symbol, timeframe), factor, asked, best_half)
    title = "What moved the skill" if factor is None else f"Skill by {factor}"
    print_records(records, as_json, title, EFFECT_COLUMNS if factor is None else VALUE_COLUMNS)
    for line in thin:
        Terminal(stderr=True).print(line, style="dim", highlight=False, soft_wrap=True)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigurationError(f"--where {text!r} has no value. Give one such as model=ridge.")
    return name.strip(), value.strip()


@application.command()
def boundary(  # noqa: PLR0913, PLR0917 - the options of a command
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    x: Annotated[str | None, typer.Option("--x", help="Feature of the horizontal axis; needs --y.")] = None,
    y: Annotated[str | None, typer.Option("--y", help="Feature of the vertical axis; needs --x.")] = None,
    again: Again = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Where a classifier decides, over two features; accuracy against the most frequent class."""
    from flows.analysis.boundary import run_boundaries  # noqa: PLC0415
    from flows.analysis.series import chosen_datasets  # noqa: PLC0415
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.terminal.boundaries import boundary_records, sentence  # noqa: PLC0415

    if (x is None) != (y is None):
        raise ConfigurationError("One axis makes no plane. Give both --x and --y, or none.")
    pair = None if x is None or y is None else (x, y)
    opened = workspace(home, config)
    with TerminalReporter(Terminal(stderr=True)) as reporter:
        run_boundaries(opened, reporter, symbol, timeframe, pair, again)
    records = boundary_records(opened.store, chosen_datasets(opened, symbol, timeframe), pair)
    if as_json:
        print_records(records, as_json, "Decision boundaries")
        return
    for record in records:
        terminal().print(sentence(record), soft_wrap=True, highlight=False)
    if not records:
        terminal().print("Decision boundaries: none")
    Terminal(stderr=True).print(
        "Next: `candleworks publish` puts the planes onto the page Decision boundary.", style="dim", highlight=False
    )


@application.command()
def reports(  # noqa: PLR0913, PLR0917 - the options of a command
    kind: Annotated[str, typer.Argument(help="tested, forecasts, contributions, or month: all three and a page.")],
    first: Annotated[str | None, typer.Option("--from", help="First day or month, UTC: 2026-11-01 or 2026-11.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day or month, included.")] = None,
    month: Annotated[str | None, typer.Option(help="A whole month, such as 2026-11.")] = None,
    out: Annotated[Path | None, typer.Option(help="Of a month: also write its files into this folder.")] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Report tested cases, forecasts or contributions per machine of a period, from the published snapshot."""
    from ml.analysis.reports import Period, csv_text, records_of, report  # noqa: PLC0415

    require_one_format(as_json, as_csv)
    if month is not None and (first or last):
        raise ConfigurationError("--month is a period of its own. Leave --from and --to out.")
    opened = workspace(home, config)
    if kind == "month":
        _store_month(opened, month, (first, last), out, as_json)
        return
    period = Period.parse(first, last) if month is None else Period.of_month(month)
    frame = report(opened.store, kind, period)
    if as_csv:
        sys.stdout.write(csv_text(frame))
        return
    columns = [name for name in frame.columns if name not in {"case_json", "dataset_id", "exchange", "worker", "hash"}]
    print_records(records_of(frame), as_json, f"Report of {kind}, {period}", columns)
    if frame.empty and not as_json:
        terminal().print(f"No row is of this period. {_newest(opened, kind)}", soft_wrap=True, highlight=False)


def _store_month(
    opened: Any, month: str | None, period: tuple[str | None, str | None], out: Path | None, as_json: bool
) -> None:
    from flows.analysis.reports import run_month  # noqa: PLC0415
    from flows.reporting import TerminalReporter  # noqa: PLC0415

    if month is None or any(period):
        raise ConfigurationError(
            "A month's reports are of one month. Give it: `candleworks reports month --month 2026-11`."
        )
    with TerminalReporter(Terminal(stderr=True)) as reporter:
        edition = run_month(opened, reporter, month)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, path in edition["files"].items():
            (out / name).write_bytes(opened.store.read(path))
    if as_json:
        print_records([edition], as_json, f"Reports of {month}")
        return
    for name, path in edition["files"].items():
        rows = edition["rows"].get(name.removesuffix(".csv"))
        terminal().print(f"{path}{'' if rows is None else f'  {rows:,} rows'}", soft_wrap=True, highlight=False)


def _newest(opened: Any, kind: str) -> str:
    """The span of all rows of the snapshot, as the remedy of a period without any."""
    from ml.analysis.reports import span_of  # noqa: PLC0415

    found = span_of(opened.store, kind)
    if found is None:
        return "The snapshot has none at all: `candleworks sweep` tests cases, `candleworks forecast` forecasts."
    return f"The snapshot has rows from {found[0]:%Y-%m-%d} to {found[1]:%Y-%m-%d}: change --from and --to."


@application.command()
def predict(  # noqa: PLR0913, PLR0917 - the options of a command
    model: Annotated[str, typer.Option("--model", help="Id of a saved model, or its beginning; see `models`.")],
    candles: Annotated[Path, typer.Option(help="Folder of candles: {exchange}/{BASE-QUOTE}/{timeframe}.parquet.")],
    symbol: Annotated[list[str] | None, typer.Option(help="Only this market; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all rows into this file: .csv or .parquet.")] = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Predict every candle of recorded markets with a saved model, on all cores; prints the latest rows."""
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.studies.predict import predict as predict_all  # noqa: PLC0415
    from ml.analysis.reports import csv_text, records_of  # noqa: PLC0415

    require_one_format(as_json, as_csv)
    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise ConfigurationError(f"{out} has no known ending. Name a file that ends in .csv or .parquet.")
    opened = workspace(home, config)
    with TerminalReporter(Terminal(stderr=True)) as reporter:
        frame = predict_all(opened, model, candles, symbol or (), config, reporter)
    if out is not None and out.suffix == ".parquet":
        frame.to_parquet(out)
    elif out is not None:
        out.write_text(csv_text(frame), encoding="utf-8", newline="")
    if as_csv:
        sys.stdout.write(csv_text(frame))
        return
    shown = frame if as_json else frame.groupby("symbol").tail(3)
    print_records(records_of(shown), as_json, f"Latest of {len(frame):,} predictions")
