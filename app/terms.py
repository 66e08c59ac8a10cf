"""The words of the dashboard, each explained in a sentence or two, and the methods behind the figures.

They are the help of columns and numbers, and the list behind "Words" on each page. `TERMS` is for everybody, `METHODS`
for those who want to know how a figure is computed and where the method comes from.
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
    "interval": (
        "The skill would lie in this range in 9 of 10 histories like this one. A range that includes 0 shows nothing."
    ),
    "search luck": (
        "How often a search as large as this one would find so good a best model by luck alone, if no model were "
        "better than the baseline. Small is good: 0.01 is once in 100 searches."
    ),
    "finalists": "The at most five best test cases of a market and timeframe, by their mean over several seeds.",
    "ties": (
        "Finalists that cannot be told apart from the best one with the data there is. Any of them may be the best."
    ),
    "verdict": (
        "A model starts or stops serving only by a verdict, which is stored for good. Promoted: it serves from then "
        "on. Refused: it was not shown to be better. Confirmed: a later review found it still better. Retired: it lost "
        "its edge, and the baseline serves."
    ),
    "gain": "How much smaller the error is than that of the model that served before.",
    "p-value": (
        "How often days like these would show so clear a lead by luck alone, if there were none. Small is good."
    ),
    "openings": (
        "How often the sealed rows of a market and timeframe were opened so far. Each opening shows only rows that no "
        "earlier one saw."
    ),
    "false claim": (
        "Before a result can win, it is computed again here. A worker whose result cannot be repeated is named, and "
        "results of its machine cannot win any more until the settings trust it again."
    ),
    "review": "A champion is tested again from time to time, on the candles that came since, by walking forward.",
    "age": "Days since the model was promoted, by the exchange's clock.",
    "live skill": "Skill of the champion's own forecasts, made before their candle opened. Late ones do not count.",
    "reliability": (
        "A band is reliable if it holds as often as it says: an 80 % band should hold in 80 of 100 candles. The alarm "
        "rings outside 70 to 90 %, from 50 forecasts on."
    ),
    "error change": (
        "How much the error grew from the rows of the choice to the live forecasts. Where the baseline's error grew as "
        "much, the market became wilder; where only the model's did, the model lost its edge."
    ),
    "weights": (
        "How much each contender would count in a mix of all: who forecasts better round after round gains weight. "
        "One round is one candle; wild candles count more."
    ),
    "freshness": "Fresh: fewer than two candles behind the exchange's clock. Stale: more.",
    "gaps": (
        "Candles that the exchange never delivered, or that were taken back. They stay gaps: nothing is invented in "
        "their place. The total counts candles as they are loaded; a hole in them is a gap in larger timeframes too."
    ),
    "quarantine": (
        "Rows that broke a rule of severity error. They are kept aside and used for nothing. Last load: those it "
        "refused, also again; all time: all that are kept."
    ),
    "severity": (
        "Error: the rule must hold; rows that break it go to quarantine, and too many of them stop the load. Warning: "
        "it is told, and the rows are used."
    ),
    "not applicable": "The rule had no row to look at; it neither passed nor failed.",
}

METHODS: dict[str, str] = {
    "skill": "1 - RMSE / RMSE of the best baseline, over high, low and close in percent of the last close, validation "
    "rows; mean over seeds.",
    "interval": "90 % percentile interval of the skill from the stationary block bootstrap over days "
    "(Politis and Romano, 1994, JASA 89). It does not correct for the choice of the best; the p of the search does.",
    "search luck": "Consistent p-value of the test for superior predictive ability of the whole field of cases against "
    "the best baseline, on daily means of the losses (Hansen, 2005, JBES 23).",
    "ties": "Model confidence set of the finalists on daily mean losses, 90 % "
    "(Hansen, Lunde and Nason, 2011, Econometrica 79).",
    "p-value": "One-sided test of the mean paired difference of daily losses (Diebold and Mariano, 1995, JBES 13) with "
    "the variance of Newey and West (1987, Econometrica 55), lag floor(4 (n/100)^(2/9)). It does not correct for the "
    "number of tries; the p of the search does.",
    "band": "Split conformal intervals with residuals scaled by the recent range (Vovk et al., 2005; Lei et al., 2018, "
    "JASA 113), adapted live (Gibbs and Candes, 2021).",
    "reliability": "Share of scored forecasts inside the band, with the 90 % interval of Wilson (1927, JASA 22) for a "
    "binomial share; forecasts count as independent.",
    "live skill": "1 - RMSE / RMSE of the baseline on the same forecasts, over a moving window; newest score of each "
    "forecast.",
    "review": "Walk-forward evaluation: refitted at intervals on the past only, tested on what follows.",
    "error change": "RMSE of the live forecasts / RMSE on validation - 1, for the model and for the baseline.",
    "weights": "Exponential moving average over rounds: w + 2/49 ((w + s g) / (1 + g) - w), s the min-max score of the "
    "round, g the weight of its volatility.",
    "pinball": "Quantile loss of the band's edges (Koenker and Bassett, 1978, Econometrica 46).",
    "hit rate": "Standard error sqrt(p (1 - p) / n).",
}
"""How a figure is computed, with the source of the method; the same names as in `TERMS`."""

PAGE_TERMS: dict[str, tuple[str, ...]] = {
    "Forecasts": ("band", "baseline", "champion", "late", "error", "hit rate", "live", "reliability"),
    "Best models": (
        "error", "baseline", "skill", "interval", "search luck", "trials", "finalists", "ties",
        "skill vs mean range", "sealed", "champion",
    ),
    "Verdicts": (
        "champion", "baseline", "verdict", "skill", "gain", "p-value", "trials", "sealed", "openings", "review",
        "false claim",
    ),
    "Champions": (
        "champion", "skill", "selection", "holdout skill", "live skill", "winner's curse", "age", "review",
    ),
    "Reliability": ("band", "reliability", "error", "selection", "live", "error change"),
    "Error history": ("error", "baseline", "skill", "selection", "live", "hit rate", "band", "weights"),
    "Sweep": ("states", "trials", "baseline"),
    "Data health": ("freshness", "gaps", "severity", "not applicable", "quarantine"),
}  # fmt: skip


def explained(term: str) -> str:
    """The plain words of a term and, where there is one, its method; for an info mark."""
    method = METHODS.get(term)
    return TERMS[term] + (f"\n\n*Method.* {method}" if method else "")
