"""The words of the dashboard, each explained in a sentence or two.

They are the help of columns and numbers, and the list behind "Words" on each page.
"""

from __future__ import annotations

TERMS: dict[str, str] = {
    "error": (
        "How far the forecast of a candle's high, low and close was off, in percent of the last close (root mean "
        "square over the three and over all candles). Smaller is better."
    ),
    "baseline": (
        "The best forecast that needs no learning: the last candle again, or the last close with the usual range "
        "around it. A model that cannot beat it is not worth running, and then the baseline itself serves."
    ),
    "skill": (
        "1 - error / error of the baseline. +5 % means an error 5 % smaller than the baseline's; 0 % or less means "
        "that the baseline is as good."
    ),
    "skill vs mean range": (
        "Skill against the simplest baseline (last close with the mean range). It flatters a model when markets "
        "calm down, so it stands beside the skill and never ranks."
    ),
    "trials": (
        "How many different test cases were tried on this market and timeframe, failed ones too. Among many tries "
        "the best looks good by luck alone, so a promotion must be better than that."
    ),
    "states": (
        "A test case is never tested, being tested, tested or failed. Pruned ones were tested with little effort and "
        "not continued, because others were better (successive halving); they count as trials."
    ),
    "sealed": (
        "The last part of the history is a holdout that nobody sees. It is opened only for a challenger that passed "
        "all tests before, and every opening is counted. Sealed: not opened."
    ),
    "holdout skill": "Skill on the holdout, the rows that were sealed while models were being chosen.",
    "live": (
        "Measured on forecasts that were sealed before their candle opened and scored after it closed. The last judge."
    ),
    "band": (
        "The forecast's 80 % band: in 80 of 100 candles, both the low and the high should stay inside. Coverage is "
        "how often they did."
    ),
    "hit rate": "Share of forecasts that got the direction of the close right. A coin gets 50 %.",
    "champion": "The model that serves a market and timeframe, because it won and its win was more than luck.",
    "late": "Issued too long after its candle had opened. Late forecasts are kept and shown, but never ranked.",
    "selection": "Skill on the validation rows, the ones on which the winner was chosen. The winner's luck is inside.",
    "winner's curse": (
        "The best of many tries was partly lucky, so its skill tends to shrink on rows that were not used to choose "
        "it: selection, then holdout, then live."
    ),
    "pinball": "The error of the band's edges (pinball loss, in percent of the last close). Smaller is better.",
    "freshness": "Fresh: fewer than two candles behind the exchange's clock. Stale: more. Empty: no candle at all.",
    "gaps": "Candles that the exchange never delivered. They stay gaps: nothing is invented in their place.",
    "quarantine": "Rows that broke a rule which must hold. They are kept aside and used for nothing.",
}

PAGE_TERMS: dict[str, tuple[str, ...]] = {
    "Forecasts": ("band", "baseline", "champion", "late", "error", "hit rate", "live"),
    "Best models": ("error", "baseline", "skill", "skill vs mean range", "sealed", "trials", "champion"),
    "Error history": ("error", "baseline", "skill", "selection", "holdout skill", "live", "winner's curse", "hit rate"),
    "Sweep": ("states", "trials", "baseline"),
    "Data health": ("freshness", "gaps", "quarantine"),
}
