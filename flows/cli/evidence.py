"""The worth of the search, and of trading on it, on recorded candles, for the README."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.application import AsJson, Config, application
from flows.reporting import Terminal
from flows.terminal.output import PrintedRow, markdown_table, print_records, replace_between, terminal

if TYPE_CHECKING:
    from flows.studies.evidence import SeriesEvidence
    from ml.trading.records import RuleRecord, TradingFigures

EVIDENCE_HOME = Path(".candleworks/evidence")

COLUMNS = (
    "symbol",
    "timeframe",
    "model",
    "n_trials",
    "spa_p_value",
    "decision",
    "skill_ewma_range",
    "vs EWMA 90 %",
    "baseline",
    "skill",
    "90 %",
    "skill_high",
    "skill_low",
    "skill_close",
    "band_coverage",
    "by hour",
    "direction",
    "traded",
    "holding",
)


@application.command()
def evidence(
    candles: Annotated[Path, typer.Option(help="Folder of recorded candles.")],
    markets: Annotated[str, typer.Option(help="Symbols, separated by commas; default: six large ones.")] = "",
    timeframes: Annotated[str, typer.Option(help="Timeframes, separated by commas.")] = "1h,4h,1d",
    markdown: Annotated[str | None, typer.Option(help="Put the README's table into this file; - prints it.")] = None,
    home: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run continues there.")] = EVIDENCE_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Search recorded markets as of their last candle, and show their holdout as the winner serves."""
    from flows.studies.evidence import SYMBOLS, close_sentence, gather  # noqa: PLC0415

    symbols = [one.strip() for one in markets.split(",") if one.strip()] or list(SYMBOLS)
    wanted = [one.strip() for one in timeframes.split(",") if one.strip()]
    found = gather(home, candles, config, symbols, wanted, terminal())
    records, sentence = [_shown(row) for row in found], close_sentence(found)
    if markdown is None:
        print_records(records, as_json, title="Evidence", columns=COLUMNS)
        if not as_json:
            terminal().print(sentence, soft_wrap=True, highlight=False)
        return
    _write(markdown, "evidence", f"{markdown_table(records, COLUMNS)}\n{sentence}\n")


def _write(markdown: str, block: str, text: str) -> None:
    """Print a text, or put it into the block of a file."""
    if markdown == "-":
        sys.stdout.write(text)
    else:
        replace_between(Path(markdown), f"<!-- {block}:begin -->", f"<!-- {block}:end -->", text)


def _shown(row: SeriesEvidence) -> PrintedRow:
    return {
        **row,
        "90 %": f"{row['skill_lower']:+.1%} .. {row['skill_upper']:+.1%}",
        "vs EWMA 90 %": f"{row['ewma_lower']:+.1%} .. {row['ewma_upper']:+.1%}",
        "by hour": f"{row['hour_least']:.0%} .. {row['hour_most']:.0%}",
        "direction": _direction(row),
        "traded": _percent(row["direction_net_pct"]),
        "holding": _percent(row["holding_pct"]),
    }


def _direction(row: SeriesEvidence) -> str | None:
    share, error = row["direction_accuracy"], row["direction_se"]
    return None if share is None or error is None else f"{share:.1%} ± {error:.1%}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.3f} %"


RULE_COLUMNS = (
    "symbol",
    "timeframe",
    "signal",
    "model",
    "validation",
    "holding then",
    "grid p",
    "holdout",
    "holding",
    "90 % of the difference",
    "trades",
    "shown",
)


@application.command(name="rule-evidence")
def rule_evidence(
    home: Annotated[Path, typer.Option(help="Folder of `candleworks evidence`, or a workspace.")] = EVIDENCE_HOME,
    markdown: Annotated[str | None, typer.Option(help="Put the README's table into this file; - prints it.")] = None,
    processes: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core.")] = 0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Choose the rules of the built-in signals on searched markets, and report each once on its holdout."""
    from flows.reporting import TerminalReporter  # noqa: PLC0415
    from flows.settings import load_settings  # noqa: PLC0415
    from flows.studies.rule_evidence import rule_evidence as gather_rules  # noqa: PLC0415
    from flows.studies.rule_evidence import rules_sentence  # noqa: PLC0415
    from ml.trading.costs import Costs  # noqa: PLC0415

    trading = load_settings(config).trading
    costs = Costs.flat(trading.fee, trading.slippage)
    with TerminalReporter(Terminal(stderr=True)) as reporter:
        found = gather_rules(home, costs, processes, reporter)
    if as_json:
        print_records(found.rules, as_json, title="Rules")
        return
    records, sentence = [_shown_rule(rule) for rule in found.rules], rules_sentence(found, costs)
    if markdown is not None:
        _write(markdown, "rule-evidence", f"{sentence}\n\n{markdown_table(records, RULE_COLUMNS)}")
        return
    terminal().print(sentence, soft_wrap=True, highlight=False)
    print_records(records, as_json, title="Rules", columns=RULE_COLUMNS)
    for reason in found.without:
        terminal().print(f"No rule: {reason}", soft_wrap=True, highlight=False)


def _shown_rule(rule: RuleRecord) -> PrintedRow:
    validation, holdout = rule["validation"], rule["holdout"]
    return {
        **rule,
        "validation": _gain(validation),
        "holding then": _whole_percent(validation["holding_pct"]),
        "grid p": None if rule["p_value"] is None else f"{rule['p_value']:.3f}",
        "holdout": _gain(holdout),
        "holding": _whole_percent(holdout["holding_pct"]),
        "90 % of the difference": _difference(holdout),
        "trades": holdout["trades"],
        "shown": rule["is_shown"],
    }


def _gain(figures: TradingFigures) -> str:
    from flows.studies.rule_evidence import is_ruined  # noqa: PLC0415 - it loads all of the studies

    return _whole_percent(figures["return_pct"]) + (", ruined" if is_ruined(figures) else "")


def _difference(figures: TradingFigures) -> str | None:
    """The interval; none of a ruined account, whose gains have no logarithm."""
    from flows.studies.rule_evidence import is_ruined  # noqa: PLC0415 - it loads all of the studies

    lower, upper = figures["lower_pct"], figures["upper_pct"]
    return (
        None
        if lower is None or upper is None or is_ruined(figures)
        else f"{_whole_percent(lower)} .. {_whole_percent(upper)}"
    )


def _whole_percent(value: float) -> str:
    return f"{value:+,.0f} %"
