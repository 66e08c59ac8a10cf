"""`candleworks evidence`: the worth of the search on recorded candles, for the README."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.application import AsJson, Config, application
from flows.terminal.output import PrintedRow, markdown_table, print_records, replace_between, terminal

if TYPE_CHECKING:
    from flows.studies.evidence import SeriesEvidence

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
    home: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run continues there.")] = Path(
        ".candleworks/evidence"
    ),
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
    text = f"{markdown_table(records, COLUMNS)}\n{sentence}\n"
    if markdown == "-":
        sys.stdout.write(text)
    else:
        replace_between(Path(markdown), "<!-- evidence:begin -->", "<!-- evidence:end -->", text)


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
