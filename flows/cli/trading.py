"""Commands about trading on forecasts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.reporting import Terminal
from flows.terminal.output import PrintedRow, print_records, terminal
from ml.agent.settings import PresetName

if TYPE_CHECKING:
    from flows.studies.backtest import BacktestRecord
    from ml.agent.records import AgentRecord, Ratios


@application.command()
def backtest(  # noqa: PLR0913, PLR0917 - the options of a command
    symbol: Annotated[str, typer.Option(help="Which market.")] = "BTC/USDT",
    timeframe: Annotated[str, typer.Option(help="Which timeframe.")] = "1h",
    case: Annotated[str, typer.Option(help="Key of a test case; default: the best that learns the close.")] = "",
    fee: Annotated[float, typer.Option(min=0, max=0.5, help="Fee of each side, a fraction.")] = 0.001,
    slippage: Annotated[float, typer.Option(min=0, max=0.5, help="Loss of each fill, a fraction.")] = 0.0,
    threshold: Annotated[float, typer.Option(min=0, help="Least predicted move that is traded, percent.")] = 0.0,
    long_only: Annotated[bool, typer.Option("--long-only", help="Never short.")] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Trade the direction of a test case on its validation rows, after costs and against holding."""
    from flows.studies.backtest import FEWEST_TRADES, run_backtest, sentence  # noqa: PLC0415
    from ml.trading.backtest import DirectionRule  # noqa: PLC0415
    from ml.trading.ledger import Costs  # noqa: PLC0415

    costs = Costs.flat(fee, slippage)
    with Terminal(stderr=True).status("backtest"):
        record = run_backtest(
            workspace(home, config), symbol, timeframe, case, DirectionRule(threshold, long_only), costs
        )
    if as_json:
        print_records([dict(record)], as_json, title="Backtest")
        return
    terminal().print(sentence(record, costs), soft_wrap=True, highlight=False)
    title = f"{symbol} {timeframe}, {record['model']} {record['case_key'][:8]}"
    print_records(_lines(record, record["trades"] >= FEWEST_TRADES), as_json, title=title)


@application.command()
def agent(  # noqa: PLR0913, PLR0917 - the options of a command
    symbol: Annotated[str, typer.Option(help="Which market.")] = "BTC/USDT",
    timeframe: Annotated[str, typer.Option(help="Which timeframe.")] = "1h",
    preset: Annotated[PresetName, typer.Option(help="Settings of the agents.")] = "default",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Number of agents, one per seed.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Most seconds of a fit.")] = 300.0,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Train trading agents and report them, after costs and against holding, on candles that chose nothing."""
    from flows.studies.agent import run_agent, sentence  # noqa: PLC0415

    with Terminal(stderr=True).status("agents"):
        record = run_agent(workspace(home, config), (symbol, timeframe), preset, seeds, seconds)
    if as_json:
        print_records([dict(record)], as_json, title="Agents")
        return
    terminal().print(sentence(record), soft_wrap=True, highlight=False)
    title = f"{symbol} {timeframe}, preset {preset}: final over first equity"
    print_records(_agent_lines(record), as_json, title=title)


def _agent_lines(record: AgentRecord) -> list[PrintedRow]:
    """A row per seed, the mean, and holding; ratios of the equity at the end of a part to that at its start."""

    def shown(name: str, ratios: Ratios, **others: object) -> PrintedRow:
        by_part = {part: f"{ratio:,.3f}" for part, ratio in ratios.items()}
        return {"seed": name, **by_part, **{key: others.get(key) for key in ("trades", "seconds", "stopped by")}}

    rows = [
        shown(
            str(one["seed"]),
            one["ratios"],
            **{"trades": one["trades"], "seconds": f"{one['seconds']:.1f}", "stopped by": one["stopped"]},
        )
        for one in record["seeds"]
    ]
    return [*rows, shown("mean", record["mean"]), shown("buy & hold", record["holding"])]


def _lines(record: BacktestRecord, enough: bool) -> list[PrintedRow]:
    """Two columns, figure and value; ratios only with enough trades."""

    def moment(time_ms: int) -> str:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"

    def percent(value: float | None) -> str | None:
        return None if value is None else f"{value:+.2%}"

    def number(value: float | None) -> str | None:
        return None if value is None else f"{value:,.2f}"

    def spread(show: Callable[[float | None], str | None], lower: float | None, upper: float | None) -> str | None:
        return None if lower is None or upper is None else f"{show(lower)} to {show(upper)}"

    shown = {
        "from": moment(record["start_ms"]),
        "to": moment(record["end_ms"]),
        "return": percent(record["total_return"]),
        "return, 90 % range": spread(percent, record["return_lower"], record["return_upper"]),
        "holding": percent(record["holding_return"]),
        "return per year": percent(record["cagr"]),
        "largest drawdown": percent(-record["max_drawdown"]),
        "Sharpe": number(record["sharpe"]) if enough else None,
        "Sharpe, 90 % range": spread(number, record["sharpe_lower"], record["sharpe_upper"]) if enough else None,
        "Sortino": number(record["sortino"]) if enough else None,
        "trades": f"{record['trades']:,}",
        "won": None if record["win_rate"] is None else f"{record['win_rate']:.0%}",
        "profit factor": number(record["profit_factor"]),
        "fees": number(record["fees"]),
        "fees of the gain before fees": percent(record["fees_share"]),
        "slippage": number(record["slippage"]),
        "break-even fee of a side": percent(record["break_even_fee"]),
        "time in the market": f"{record['exposure']:.0%}",
        "turnover": number(record["turnover"]),
    }
    return [{"figure": name, "value": value} for name, value in shown.items()]
