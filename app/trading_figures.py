"""Figures of a trading rule in its parts, and the sentence that has costs and luck first.

The holdout is the headline: its rows chose nothing. The validation rows chose the rule and flatter it; paper trading is
live.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from app import formats
from app.schema import PARTS
from app.terms import TERMS, explained

ENOUGH_TRADES = 30
"""Minimal number of trades for a Sharpe or Sortino ratio; over fewer they are luck."""

PART_NAMES = {"validation": "Validation", "holdout": "Holdout", "paper": "Paper"}
HEADLINE = "holdout"
SHOWN = "shown better than holding"


@dataclass(frozen=True)
class PartFigures:
    """Figures of a rule in one part of the history; None where unknown.

    Attributes:
        part: one of `app.schema.PARTS`.
        return_pct, holding_pct: of the rule and of buying and holding, after the same costs, in percent.
        lower_pct, upper_pct: 90 % range of the difference to holding, as gains over it in percent.
        trades: closed ones.
        win_rate, exposure, fees_share: shares; turnover: multiple of the mean equity.
        break_even_fee_pct: fee a side at which nothing is gained or lost, in percent.
    """

    part: str
    return_pct: float | None
    holding_pct: float | None
    lower_pct: float | None
    upper_pct: float | None
    trades: int | None
    win_rate: float | None
    profit_factor: float | None
    max_drawdown_pct: float | None
    sharpe: float | None
    sortino: float | None
    exposure: float | None
    turnover: float | None
    fees_share: float | None
    break_even_fee_pct: float | None

    @property
    def is_known(self) -> bool:
        """Whether the rule was traded in this part at all."""
        return self.return_pct is not None

    @property
    def has_enough_trades(self) -> bool:
        """Whether ratios over the trades say something."""
        return (self.trades or 0) >= ENOUGH_TRADES


def number(value: Any) -> float | None:
    """A cell as a number; None where it is null."""
    return None if formats.is_missing(value) else float(value)


def part_figures(rule: pd.Series, part: str) -> PartFigures:
    """Figures of one part; `rule` is a row of trading_rules."""
    names = [name for name in PartFigures.__dataclass_fields__ if name not in ("part", "trades")]
    values = {name: rule[f"{part}_{name}"] for name in names}
    trades = rule[f"{part}_trades"]
    return PartFigures(
        part=part,
        trades=None if formats.is_missing(trades) else int(trades),
        **{name: number(value) for name, value in values.items()},
    )


def known_parts(rule: pd.Series) -> list[str]:
    """Parts in which the rule was traded, the headline first."""
    known = [part for part in PARTS if part_figures(rule, part).is_known]
    return sorted(known, key=lambda part: part != HEADLINE)


def trades_text(trades: int | None) -> str:
    """The number of trades in words.

    >>> trades_text(0), trades_text(1), trades_text(1500), trades_text(None)
    ('no trades', '1 trade', '1,500 trades', 'unknown number of trades')
    """
    if trades is None:
        return "unknown number of trades"
    return "no trades" if trades == 0 else f"{trades:,} trade{'' if trades == 1 else 's'}"


def cost_text(cost_pct: object) -> str:
    """Costs a side in words.

    >>> cost_text(0.1), cost_text(None)
    ('0.1 % a side', 'costs')
    """
    return "costs" if formats.is_missing(cost_pct) else f"{cost_pct:g} % a side"


def range_text(figures: PartFigures) -> str:
    """The 90 % range of the difference to holding; empty where unknown."""
    if figures.lower_pct is None or figures.upper_pct is None:
        return ""
    lower = formats.signed_percent(figures.lower_pct, 1).removesuffix(" %")
    return f"{lower} to {formats.signed_percent(figures.upper_pct, 1)}"


def against_holding(rule: pd.Series) -> str:
    """The verdict on the rule against holding, from the holdout alone."""
    figures = part_figures(rule, HEADLINE)
    if not figures.is_known:
        return "no holdout yet, so not shown better than holding"
    if formats.is_missing(rule.is_shown):
        return "not tested against holding"
    # The flag and the range must agree: a profit that its own range denies is not repeated.
    if rule.is_shown and figures.lower_pct is not None and figures.lower_pct > 0:
        return SHOWN
    if figures.upper_pct is not None and figures.upper_pct < 0:
        return "shown worse than holding"
    return "not shown better than holding"


def tone(rule: pd.Series) -> str:
    """Tone of the note of `headline`."""
    return {SHOWN: "good", "shown worse than holding": "bad"}.get(against_holding(rule), "")


def part_clause(figures: PartFigures) -> str:
    """Return, holding, range and trades of one part as HTML."""
    if not figures.is_known:
        return "no figures"
    between = range_text(figures)
    luck = f", 90 % range of the difference {between}" if between else ", no range of the difference"
    return (
        f"<b>{formats.signed_percent(figures.return_pct, 1)}</b>, buy &amp; hold "
        f"{formats.signed_percent(figures.holding_pct, 1)}{luck}; {trades_text(figures.trades)}"
    )


def headline(rule: pd.Series) -> str:
    """The sentence about a rule as HTML: costs, gain, holding, luck, trades and verdict, on the holdout."""
    figures = part_figures(rule, HEADLINE)
    if not figures.is_known:
        return (
            "<b>No holdout yet:</b> this rule has no figure on rows that chose nothing, so it is "
            "<b>not shown better than holding</b>."
        )
    return f"After {cost_text(rule.cost_pct)}: {part_clause(figures)}; <b>{against_holding(rule)}</b>."


def other_parts(rule: pd.Series) -> list[str]:
    """Validation and paper as HTML, with what their figures are worth."""
    tried = "" if formats.is_missing(rule.trials) else f" out of {int(rule.trials):,}"
    worth = {
        "validation": f"Validation, flatters, since it chose the rule{tried}",
        "paper": "Paper, live, sealed before each fill",
    }
    return [
        f"{words}: {part_clause(figures)}."
        for part, words in worth.items()
        if (figures := part_figures(rule, part)).is_known
    ]


def overview_sentence(rules: pd.DataFrame) -> str:
    """How many of the rules are shown better than holding, as HTML."""
    words = [shown_word(rule) for _, rule in rules.iterrows()]
    shown, untested = words.count("yes"), words.count("not tested")
    noun = "the one rule" if len(words) == 1 else f"the {len(words):,} rules"
    if untested == len(words):
        return f"<b>Not tested against holding: {noun}.</b>"
    rest = f" {untested:,} {'is' if untested == 1 else 'are'} not tested against holding." if untested else ""
    count, verb = (f"{shown:,}", "is" if shown == 1 else "are") if shown else ("None", "is")
    return f"<b>{count} of {noun} {verb} shown better than holding after costs.</b>{rest}"


def shown_word(rule: pd.Series) -> str:
    """The column "shown better than holding": "yes", "no" or "not tested"."""
    if against_holding(rule) == SHOWN:
        return "yes"
    is_tested = part_figures(rule, HEADLINE).is_known and not formats.is_missing(rule.is_shown)
    return "no" if is_tested else "not tested"


def over_holding(figures: PartFigures) -> float | None:
    """Gain over holding in percent of its end, as the 90 % range has it; None where unknown or nothing is held."""
    if figures.return_pct is None or figures.holding_pct is None or figures.holding_pct <= -100:
        return None
    return 100 * ((100 + figures.return_pct) / (100 + figures.holding_pct) - 1)


def tiles(figures: PartFigures) -> list[tuple[str, str, str | None]]:
    """Label, value and help of the numbers of a part; Sharpe and Sortino only over enough trades."""
    shown: list[tuple[str, str, str | None]] = [
        ("Return", formats.signed_percent(figures.return_pct, 1), TERMS["trading return"]),
        ("Buy & hold", formats.signed_percent(figures.holding_pct, 1), TERMS["buy and hold"]),
        ("Over holding", formats.signed_percent(over_holding(figures), 1), explained("difference to holding")),
        ("90 % range", range_text(figures) or formats.DASH, explained("difference to holding")),
        ("Trades", formats.count(figures.trades), TERMS["trade"]),
        ("Win rate", formats.share(figures.win_rate), TERMS["win rate"]),
        ("Profit factor", formats.decimal(figures.profit_factor), TERMS["profit factor"]),
        ("Max drawdown", formats.percent(figures.max_drawdown_pct, 1), TERMS["drawdown"]),
        ("Exposure", formats.share(figures.exposure), TERMS["exposure"]),
        ("Turnover", _times(figures.turnover), TERMS["turnover"]),
        ("Fees' share", formats.share(figures.fees_share), TERMS["fees' share"]),
        ("Break-even fee", formats.percent(figures.break_even_fee_pct), TERMS["break-even fee"]),
    ]
    if figures.has_enough_trades:
        shown += [
            ("Sharpe", formats.decimal(figures.sharpe), explained("Sharpe ratio")),
            ("Sortino", formats.decimal(figures.sortino), explained("Sortino ratio")),
        ]
    return shown


def _times(value: float | None) -> str:
    return formats.DASH if value is None else f"{value:,.1f} x"


def break_even_sentence(break_even_pct: float | None, cost_pct: float, without_fee_pct: float) -> str:
    """The break-even fee against the fee of the rule, and its return without fees.

    >>> break_even_sentence(0.0344, 0.1, 2.0), break_even_sentence(None, 0.1, -0.2)
    ('Break-even at 0.034 %, below its own fee of 0.1 %.', 'It gains nothing even without fees.')
    """
    if without_fee_pct <= 0:
        return "It gains nothing even without fees."
    if break_even_pct is None:
        return "Its break-even fee is not published."
    relation = "above" if break_even_pct > cost_pct else "below"
    return f"Break-even at {formats.percent(break_even_pct)}, {relation} its own fee of {cost_pct:g} %."


def few_trades_sentence(figures: PartFigures) -> str:
    """Why no ratio is shown; empty with enough trades."""
    if figures.has_enough_trades:
        return ""
    made = f"{trades_text(figures.trades)}, and below {ENOUGH_TRADES} such a ratio is luck."
    return f"No Sharpe or Sortino ratio: {made}" + (" The other figures rest on as few." if figures.trades else "")


def description(rule: pd.Series) -> str:
    """Model, thresholds, sizing, choice and reason of a rule, as HTML."""
    sides = "" if formats.is_missing(rule.long_only) else "long only" if rule.long_only else "long and short"
    sizing = "" if formats.is_missing(rule.sizing) else f"sizing {escape(str(rule.sizing)).replace('_', ' ')}"
    tried = "" if formats.is_missing(rule.trials) else f"{int(rule.trials):,} threshold pairs tried"
    thresholds = f"buy from {formats.signed(rule.buy)}, sell from {formats.signed(rule.sell)}"
    decided = "" if formats.is_missing(rule.decided_at) else f"chosen {formats.moment(rule.decided_at)} UTC"
    parts = [f"<b>{escape(formats.name(rule.model))}</b>", thresholds, sides, sizing, tried, decided]
    texts = [escape(str(text)) for text in (rule.description, rule.reason) if not formats.is_missing(text)]
    return "; ".join([" &nbsp;·&nbsp; ".join(filter(None, parts)), *texts]) + "."


def _text(value: object) -> str:
    return formats.DASH if formats.is_missing(value) else str(value)
