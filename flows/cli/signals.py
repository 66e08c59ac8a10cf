"""Commands about signals: choose rules, trade on paper, list signals, trades and the paper account of each rule."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.cli.tables import Symbol, Timeframe, filtered
from flows.terminal.output import print_records, terminal

Signal = Annotated[str | None, typer.Option(help="Only this signal.")]
_RULE_COLUMNS = ("symbol", "timeframe", "signal", "buy", "sell", "trials", "p_value", "is_shown", "reason")
_SIGNAL_COLUMNS = ("symbol", "timeframe", "signal", "close_time", "score", "side", "signs", "reason")
_TRADE_COLUMNS = (
    *("symbol", "timeframe", "signal", "number", "side", "entry_time", "exit_time", "entry_price", "exit_price"),
    *("fees", "pnl", "exit_reason", "balance"),
)
#: Column of the published rules -> its name in the table.
_PAPER_COLUMNS = {
    **{name: name for name in ("symbol", "timeframe", "signal")},
    "paper_start_time": "since",
    "paper_return_pct": "return_pct",
    "paper_holding_pct": "holding_pct",
    "paper_lower_pct": "lower_pct",
    "paper_upper_pct": "upper_pct",
    "paper_trades": "trades",
    "is_shown": "is_shown",
}


@application.command()
def rules(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Choose the trading rules that are due, and list the rule of every signal with its report on the holdout."""
    from flows.server.flow_runs import run_flow  # noqa: PLC0415
    from flows.terminal.trading import rule_records, summary  # noqa: PLC0415

    opened = workspace(home, config)
    with run_flow(opened, terminal(), quiet=as_json) as run, opened.local_pool() as pool:
        from flows.trading.rules import run_rules  # noqa: PLC0415

        run("rules", run_rules, pool)
    records = rule_records(opened)
    print_records(records, as_json, title="Trading rules", columns=_RULE_COLUMNS)
    if not as_json:
        terminal().print(summary(records), soft_wrap=True, highlight=False)


@application.command()
def trade(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Seal the paper trades of the closed candles, and the signals at the close of the newest ones."""
    from flows.trading.live import trade_all  # noqa: PLC0415

    made = trade_all(workspace(home, config))
    print_records([made._asdict()], as_json, title="Sealed")


@application.command()
def signals(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    signal: Signal = None,
    every: Annotated[bool, typer.Option("--all", help="Also of past candles, not only of the newest.")] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the published scores of the signals, of the newest candle of every series."""
    from flows.terminal.trading import signal_records  # noqa: PLC0415

    records = filtered(
        signal_records(workspace(home, config).store, every), symbol=symbol, timeframe=timeframe, signal=signal
    )
    print_records(records, as_json, title="Signals", columns=_SIGNAL_COLUMNS)


@application.command()
def trades(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    signal: Signal = None,
    part: Annotated[str, typer.Option(help="paper, holdout or validation.")] = "paper",
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the published trades of the rules, oldest first."""
    from flows.terminal.trading import trade_records  # noqa: PLC0415

    records = trade_records(workspace(home, config).store, part)
    records = filtered(records, symbol=symbol, timeframe=timeframe, signal=signal)
    print_records(records, as_json, title=f"Trades, {part}", columns=_TRADE_COLUMNS)


@application.command()
def paper(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    signal: Signal = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the paper account of every rule against holding, after costs."""
    from flows.terminal.trading import published_rules, summary  # noqa: PLC0415

    records = published_rules(workspace(home, config).store)
    records = filtered(records, symbol=symbol, timeframe=timeframe, signal=signal)
    if as_json:
        print_records(records, as_json, title="")
        return
    shown = [{title: dict(row)[name] for name, title in _PAPER_COLUMNS.items()} for row in records]
    print_records(shown, as_json, title="Paper trading, against holding")
    terminal().print(summary(records), soft_wrap=True, highlight=False)
