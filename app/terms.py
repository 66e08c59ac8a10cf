"""Glossary of the dashboard: the help of columns and numbers, and the list behind "Glossary" on each page.

`TERMS` explains each term in a sentence or two for every reader; `METHODS` says how a figure is computed, with its
source.
"""

from __future__ import annotations

TERMS: dict[str, str] = {
    "provenance": (
        "Where the candles come from. Simulated markets: computed prices. Replay: recorded candles of the past, at the "
        "exchange's own time. Live: an exchange's candles of now, with their age."
    ),
    "expected range": (
        "The forecast low to the forecast high of the next candle. That range can be forecast; the direction of the "
        "close hardly ever, so it is called only where a test shows that the model can."
    ),
    "lead": (
        "Error of the baseline less that of the forecast, added up over the last forecasts. The line rises where the "
        "forecast was the better one."
    ),
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
        "calm down, so it is shown for information and never ranks."
    ),
    "skill vs HAR": (
        "Skill against a regression on the mean ranges of a day, a week and a month, the usual simple forecast of "
        "volatility. It is one of the baselines: around 0 %, four averages do as well as the model."
    ),
    "trials": (
        "Number of different test cases tried on this market and timeframe, failed ones included. The best of many "
        "trials looks good by luck alone, so a promotion must be better than that."
    ),
    "effect": (
        "The share of the skill's spread that a factor explains: model, settings, feature groups, parameters. It says "
        "what moved the skill in this search, not what will move it in another one."
    ),
    "accuracy": "Share of held-out rows whose class was decided rightly.",
    "most frequent class": (
        "The accuracy of always deciding for the class that was most frequent in the train rows. A classifier that "
        "does not beat it has learnt nothing of use."
    ),
    "decision boundary": (
        "What the classifier decides over two of its inputs, with all others at their median; the deeper the colour, "
        "the more probable. Where it is hatched few train rows are near, and the decision rests on rows far away."
    ),
    "contribution": (
        "Cases that a worker finished in the period, with the time that they took. A worker is a machine, with all its "
        "processes."
    ),
    "time against the fleet": (
        "Time of a worker's cases over that which all workers took on average for the same models of the same series. "
        "1.00: as the fleet; more: slower."
    ),
    "states": (
        "A test case is never tested, being tested, tested or failed. Pruned ones were tested with little effort and "
        "not continued, because others were better (successive halving); they count as trials."
    ),
    "sealed": (
        "The last part of the history is a holdout that stays closed. It is opened only for a challenger that passed "
        "all earlier tests, and every opening is counted. Sealed: not opened."
    ),
    "holdout skill": "Skill on the holdout, the rows that were sealed while models were being chosen.",
    "live": (
        "Measured on forecasts that were sealed before their candle opened and scored after it closed. The final test."
    ),
    "prediction interval": (
        "The forecast's 80 % prediction interval: in 80 of 100 candles, both the low and the high should stay inside. "
        "Coverage is how often they did."
    ),
    "novelty": (
        "How far the inputs of a forecast are from those that the model learnt from, over a limit that 1 % of ordinary "
        "candles exceed. Above 1 they are unlike anything it has seen, and the baseline serves."
    ),
    "contributions": (
        "The forecast as a sum: each input adds to high, low and close, and to the range between high and low. In "
        "hundredths of a logarithm, nearly percent of the last close. The base is the forecast of average inputs."
    ),
    "traded direction": "Mean gain per candle of trading every predicted direction of the close, after 0.1 % a side. "
    "Where the close is forecast as the last close there is no direction.",
    "hit rate": "Share of forecasts that got the direction of the close right. A coin gets 50 %.",
    "champion": "The model that serves a market and timeframe, because it won and its win was more than luck.",
    "late": "Issued too long after its candle had opened. Late forecasts are kept and shown, but never ranked.",
    "selection": "Skill on the validation rows, on which the winner was chosen. It includes the winner's luck.",
    "winner's curse": (
        "The best of many trials was partly lucky, so its skill tends to shrink on rows that were not used to choose "
        "it: selection, then holdout, then live."
    ),
    "winkler": (
        "Winkler score of the 80 % interval, in percent of the last close: its mean width, and ten times the distance "
        "by which candles leave it. Smaller is better."
    ),
    "pinball": "Pinball loss of the interval's bounds, in percent of the last close. Smaller is better.",
    "confidence interval": (
        "The skill would be in this range in 9 of 10 histories like this one. A range that includes 0 shows nothing."
    ),
    "search luck": (
        "How often a search as large as this one would find so good a best model by luck alone, if no model were "
        "better than the baseline. Small is good: 0.01 is once in 100 searches."
    ),
    "finalists": "The at most five best test cases of a market and timeframe, by their mean over several seeds.",
    "ties": "Finalists that these data cannot distinguish from the best one. Any of them may be the best.",
    "verdict": (
        "A decision of the promotion gate, stored permanently; only a verdict starts or stops a model's service. "
        "Promoted: it serves from then on. Refused: it was not shown to be better. Confirmed: a later review found it "
        "still better. Retired: it lost its edge, and the baseline serves."
    ),
    "gain": "How much smaller the error is than that of the model that served before.",
    "p-value": (
        "How often days like these would show so clear a lead by luck alone, if there were none. Small is good."
    ),
    "openings": (
        "How often the sealed rows of a market and timeframe were opened so far. Each opening shows only rows that no "
        "earlier one saw."
    ),
    "failed verification": (
        "Before a result can win, it is recomputed here. A worker whose result cannot be reproduced is named, and "
        "results of its machine cannot win until the settings trust it again."
    ),
    "review": "A champion is tested again from time to time, on newer candles, by walk-forward evaluation.",
    "age": "Days since the model was promoted, by the exchange's clock.",
    "live skill": "Skill of the champion's own forecasts, made before their candle opened. Late ones do not count.",
    "reliability": (
        "A prediction interval is reliable if it holds as often as promised: an 80 % interval in 80 of 100 candles. "
        "The alarm is raised outside 70 to 90 %, from 50 forecasts on; for a group of candles, such as an hour of the "
        "day, only if chance explains it hardly ever."
    ),
    "error change": (
        "How much the error grew from the validation rows to the live forecasts. Where the baseline's error grew as "
        "much, the market became more volatile; where only the model's did, the model lost its edge."
    ),
    "weights": (
        "How much each contender would count in a mix of all: one that forecasts better round after round gains "
        "weight. One round is one candle; volatile candles count more."
    ),
    "freshness": "Fresh: fewer than two candles behind the exchange's clock. Stale: more.",
    "gaps": (
        "Candles that the exchange never delivered or withdrew. They stay gaps: nothing is filled in. The total counts "
        "candles of the base timeframe; a gap in them is a gap in higher timeframes too."
    ),
    "quarantine": (
        "Rows that broke a rule of severity error. They are kept but not used. Last load: rows that it refused, "
        "repeated ones included; all time: all rows kept."
    ),
    "verification": (
        "Whether each sealed record has its hash, follows the record before it, is signed with the key of this home, "
        "and says nothing impossible. Every night all are checked."
    ),
    "anchor": (
        "The newest record whose hash a time-stamp authority has signed: it existed at that time. Later records have "
        "the word of this home only."
    ),
    "severity": (
        "Error: the rule must hold; rows that break it go to quarantine, and too many of them stop the load. Warning: "
        "it is reported, and the rows are used."
    ),
    "not applicable": "The rule had no row to check; it neither passed nor failed.",
    "score": (
        "The signal of a candle, from -1 (down) to +1 (up). At the buy threshold or above the rule goes long, at the "
        "sell threshold or below it sells. Each sign ▲ or ▼ is a step of 0.05 beyond the threshold."
    ),
    "parts": (
        "Validation: the rows on which the rule was chosen, so they flatter it. Holdout: later rows that chose "
        "nothing; their figures count. Paper: live trading without money, each order sealed before its fill price "
        "exists."
    ),
    "trading return": "Gain of the rule over the part in percent of the start, after fees and slippage.",
    "buy and hold": "Gain of buying at the start of the part and holding to its end, after the same costs.",
    "difference to holding": (
        "How much more the rule ended with than holding did, in percent of that. The 90 % range says where this would "
        "be in 9 of 10 histories like this one; a range that includes 0 shows nothing."
    ),
    "trade": "A position from its entry to its exit. A position that is still open is listed, not counted.",
    "win rate": "Share of the trades that gained after costs. Many small gains and few large losses can still lose.",
    "profit factor": "All gains over all losses. Below 1 the rule loses; without a loss there is none.",
    "drawdown": "Largest fall of the equity below its highest value so far.",
    "exposure": "Share of the candles that close with a position.",
    "turnover": "Value of all fills, as a multiple of the mean equity. Each turn costs the fee.",
    "fees' share": "Fees over the gain before fees. Above 100 % the fees eat all of it; without a gain there is none.",
    "break-even fee": (
        "The fee a side at which the rule neither gains nor loses. Below the real fee, costs eat it all. A dash: it "
        "gains nothing even without fees."
    ),
    "Sharpe ratio": "Mean return per candle over its deviation, annualised. Around 0 there is nothing but noise.",
    "Sortino ratio": "Like the Sharpe ratio, with the deviation of the losses alone.",
    "luck of the search": (
        "How often the best of all thresholds tried would look this good against holding by luck alone. Small is good."
    ),
    "deflated Sharpe": (
        "Probability that the Sharpe ratio is above what the best of all trials reaches by luck. Near 1 is good."
    ),
}

METHODS: dict[str, str] = {
    "effect": "Growth of the squared error of a random forest when the factor's values are exchanged among the cases "
    "that a resample left out (Breiman, 2001, Machine Learning 45), halved, over the variance of the skill; 90 % "
    "interval over 30 resamples. Below 0 by chance.",
    "decision boundary": "A grid of 40 by 40 cells between the 1 % and 99 % quantiles of the train rows; few: less "
    "than 5 train rows in a cell and the 8 around it.",
    "contribution": "CPU time of fitting. A check recomputes the result of a challenger and compares all its figures.",
    "skill": "1 - RMSE / RMSE of the best baseline, over high, low and close in percent of the last close, validation "
    "rows; mean over seeds.",
    "confidence interval": "90 % percentile interval of the skill from the stationary block bootstrap over days "
    "(Politis and Romano, 1994, JASA 89). It does not correct for choosing the best; the p of the search does.",
    "search luck": "Consistent p-value of the test for superior predictive ability of all cases against the best "
    "baseline, on daily means of the losses (Hansen, 2005, JBES 23).",
    "ties": "Model confidence set of the finalists on daily mean losses, 90 % "
    "(Hansen, Lunde and Nason, 2011, Econometrica 79).",
    "p-value": "One-sided test of the mean paired difference of daily losses (Diebold and Mariano, 1995, JBES 13) with "
    "the variance of Newey and West (1987, Econometrica 55), lag floor(4 (n/100)^(2/9)). It does not correct for the "
    "number of trials; the p of the search does.",
    "prediction interval": "Conformal intervals by hour of the day and weekend, with residuals scaled by the expected "
    "range (Vovk et al., 2005; Lei et al., 2018, JASA 113), adapted live.",
    "reliability": "Share of scored forecasts inside the interval, with the 90 % interval of Wilson (1927, JASA 22) "
    "for a binomial share; forecasts count as independent. By group: standard error sqrt(p (1 - p) / n), alarm at 3.5 "
    "of them.",
    "live skill": "1 - RMSE / RMSE of the baseline on the same forecasts, over a moving window; newest score of each "
    "forecast.",
    "review": "Walk-forward evaluation: refitted at intervals on the past only, tested on what follows.",
    "error change": "RMSE of the live forecasts / RMSE on validation - 1, for the model and for the baseline.",
    "weights": "Exponential moving average over rounds: w + 2/49 ((w + s g) / (1 + g) - w), s the min-max score of the "
    "round, g the weight of its volatility.",
    "winkler": "Interval score (Gneiting and Raftery, 2007, JASA 102), the low against the lower bound and the high "
    "against the upper one.",
    "pinball": "Quantile loss of the interval's bounds (Koenker and Bassett, 1978, Econometrica 46).",
    "novelty": "Mahalanobis distance of the standardised inputs with a shrunk covariance (Ledoit and Wolf, 2004, JMVA "
    "88); the limit is the 99 % quantile over rows after those learnt from.",
    "contributions": "Linear models: weight times standardised input. LightGBM: Shapley values of its trees (Lundberg "
    "et al., 2018). Other families have none.",
    "hit rate": "Standard error sqrt(p (1 - p) / n).",
    "difference to holding": "Stationary block bootstrap over days (Politis and Romano, 1994, JASA 89).",
    "Sharpe ratio": "Sample deviation, candles of 365 days, no riskless rate (Sharpe, 1994, JPM 21).",
    "Sortino ratio": "Root mean square of the negative returns (Sortino and Price, 1994, JOI 3).",
    "luck of the search": "Consistent p-value of the test for superior predictive ability over the grid of thresholds "
    "on the validation rows (Hansen, 2005, JBES 23).",
    "deflated Sharpe": "Bailey and Lopez de Prado (2014, JPM 40), each threshold pair counted as a trial.",
}
"""How a figure is computed, with the source; keys as in `TERMS`."""

PAGE_TERMS: dict[str, tuple[str, ...]] = {
    "Today": ("provenance", "expected range", "prediction interval", "baseline", "champion", "skill", "lead",
              "freshness"),
    "Forecasts": (
        "prediction interval", "baseline", "champion", "late", "error", "hit rate", "live", "reliability",
        "novelty", "contributions", "score",
    ),
    "Leaderboard": (
        "error", "baseline", "skill", "confidence interval", "search luck", "trials", "finalists", "ties",
        "skill vs mean range", "sealed", "champion",
    ),
    "Verdicts": (
        "champion", "baseline", "verdict", "skill", "gain", "p-value", "trials", "sealed", "openings", "review",
        "failed verification",
    ),
    "Champions": (
        "champion", "skill", "selection", "holdout skill", "live skill", "winner's curse", "age", "review",
    ),
    "Reliability": ("prediction interval", "reliability", "error", "selection", "live", "error change"),
    "Trading": (
        "score", "parts", "buy and hold", "difference to holding", "trade", "win rate", "profit factor", "drawdown",
        "exposure", "turnover", "fees' share", "break-even fee", "Sharpe ratio", "Sortino ratio",
        "luck of the search", "deflated Sharpe",
    ),
    "Error history": ("error", "baseline", "skill", "selection", "live", "hit rate", "prediction interval", "weights"),
    "Sweep": ("states", "trials", "baseline"),
    "Effects": ("effect", "skill", "trials"),
    "Decision boundary": ("decision boundary", "accuracy", "most frequent class"),
    "Workers": ("contribution", "time against the fleet", "failed verification", "skill"),
    "Data health": ("freshness", "gaps", "severity", "not applicable", "quarantine", "verification", "anchor"),
}  # fmt: skip


def explained(term: str) -> str:
    """The explanation of a term with its method, if any, as a tooltip."""
    method = METHODS.get(term)
    return TERMS[term] + (f"\n\n*Method.* {method}" if method else "")
