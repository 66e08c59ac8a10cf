"""The score of a signal at the close of the newest candle, from the models of its rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import duckdb
import numpy as np

from flows.forecasting.inputs import ServedModel, candle_history, latest_rows, newest_open_ms, served_model
from flows.workspace.workspace import Workspace
from ml.data.candle_columns import CLOSE
from ml.data.datasets import windows
from ml.data.targets import NEXT_CANDLE, TARGETS, Floats
from ml.errors import PredictionError
from ml.forecasting.history import History
from ml.forecasting.model_folder import ModelSeal, seals_of_rule
from ml.series import Series
from ml.timeframes import utc_text
from ml.trading.records import RuleRecord, SignalRecord
from ml.trading.scores import Scores, orders_of, scores_of
from ml.trading.selection import Trader
from ml.trading.signals import band_of
from ml.trading.sizing import SIZING_SPANS

#: Said of a rule whose models are out of date.
_UNTIL = "the signal has no score until its rule is chosen again, by the nightly run or by `candleworks rules`"
UP, DOWN = "▲", "▼"
#: More signs than this are written as a number.
MOST_SIGNS = 5


@dataclass
class SeriesScorer:
    """Scores of the signals of one series at the close of its newest candle.

    Models, features and candles are read once, features for the longest memory of the signals.
    """

    workspace: Workspace
    connection: duckdb.DuckDBPyConnection
    series: Series
    memory: int
    _forecasts: dict[str, Floats | str] = field(default_factory=dict)

    @cached_property
    def history(self) -> History:
        """The closed candles."""
        return candle_history(self.connection, self.series)

    @cached_property
    def newest_open_ms(self) -> int | None:
        """Open time of the newest closed candle; None before the first."""
        return newest_open_ms(self.connection, self.series)

    def signal_record(self, trader: Trader, rule: RuleRecord, rule_hash: str) -> SignalRecord:
        """The signal at the close of the newest candle, without the time of its seal.

        Without a score it has a reason, and leaves the position as it is.
        """
        open_ms, length = int(self.history.open_time_ms[-1]), self.history.timeframe_ms
        price = float(self.history.candles[-1, CLOSE])
        record: SignalRecord = {
            "signal_key": trader.key,
            "rule_hash": rule_hash,
            "open_time": utc_text(open_ms),
            "close_time": utc_text(open_ms + length),
            "price": price,
            "buy": rule["buy"],
            "sell": rule["sell"],
            **NO_SCORE,
        }
        scores = self.scores(trader, rule)
        if isinstance(scores, str):
            return {**record, "reason": scores}
        orders = orders_of(trader.signal, scores, np.array([price]), rule["buy"], rule["sell"])
        score = float(scores.score[0])
        steps = band_of(score, rule["buy"], rule["sell"], trader.signal.band_step)
        return {
            **record,
            "score": score,
            "second": None if scores.second is None else float(scores.second[0]),
            "side": _known(orders["target"]),
            "quantity": _known(orders["quantity"]),
            "fraction": _known(orders["fraction"]),
            "stop": _known(orders["stop"]),
            "take_profit": _known(orders["take_profit"]),
            "band": steps,
            "signs": signs_of(steps),
            "reason": "",
        }

    def scores(self, trader: Trader, rule: RuleRecord) -> Scores | str:
        """Scores (1,) of the newest candle, or the reason why there is none."""
        signal = trader.signal
        predicted, scales = [], []
        for source, (model_id, seal) in zip(signal.all_sources, seals_of_rule(rule), strict=True):
            forecasts = self._forecasts_of(model_id, seal)
            if isinstance(forecasts, str):
                return forecasts
            predicted.append(forecasts[-signal.memory :])
            scales.append(self._latest(self.history.scale, signal.memory) if source.target == NEXT_CANDLE else None)
        every = scores_of(signal, predicted, scales, rule["units"])
        if not np.isfinite(every.score[-1]):
            return "a forecast of its sources is missing"
        last = every.between(signal.memory - 1, signal.memory)
        return self._sized(trader, last)

    def _sized(self, trader: Trader, last: Scores) -> Scores:
        closes = self.history.candles[-SIZING_SPANS * trader.signal.sizing.span :, CLOSE]
        every = np.full(len(closes), np.nan)
        every[-1] = last.score[0]
        padded = Scores(every, None, every, every).sized(trader.signal, closes, self.history.timeframe_ms)
        sizes = padded.between(len(closes) - 1, len(closes)).sizes
        return Scores(last.score, last.second, last.high, last.low, sizes)

    def _forecasts_of(self, model_id: str, seal: ModelSeal) -> Floats | str:
        """(memory, k) predictions of a model, or the reason why there are none; signals share those of a model."""
        if model_id not in self._forecasts:
            called = f"model {model_id[:8]} of the signal"
            model = served_model(self.workspace.store, self.connection, model_id, called, _UNTIL, seal)
            self._forecasts[model_id] = model if isinstance(model, str) else self._predicted(model, self.memory)
        return self._forecasts[model_id]

    def _predicted(self, model: ServedModel, memory: int) -> Floats | str:
        """(memory, k) predictions for the latest candles, NaN where a gap is in a window; the last one is known."""
        lags, columns = model.case.lags, list(model.case.input_columns)
        rows, run_lengths = latest_rows(self.connection, self.series, columns, lags + memory - 1)
        target = TARGETS[model.case.target]
        width = len(target.classes) or len(target.labels)
        predicted = np.full((memory, width), np.nan)
        if len(rows) < lags:
            return "too few candles have features"
        shown = windows(rows, lags)
        usable = (run_lengths[lags - 1 :] >= lags) & np.isfinite(shown).all(axis=(1, 2))
        if not usable[-1]:
            return "a gap in the candles is in the input window of its model"
        try:
            predicted[memory - len(shown) :][usable] = model.ensemble.predict(np.ascontiguousarray(shown[usable]))
        except PredictionError as error:
            return f"its model was refused: {error}"
        return predicted

    @staticmethod
    def _latest(values: Floats, n: int) -> Floats:
        """(n,) the latest values, after NaN where there are fewer."""
        latest = values[-n:]
        return np.concatenate([np.full(n - len(latest), np.nan), latest])


#: Fields of a signal without a score.
NO_SCORE: SignalRecord = {
    "score": None,
    "second": None,
    "side": None,
    "quantity": None,
    "fraction": None,
    "stop": None,
    "take_profit": None,
    "band": 0,
    "signs": "",
}


def signs_of(steps: int) -> str:
    """A sign per step beyond the threshold.

    >>> signs_of(2), signs_of(-1), signs_of(0), signs_of(12)
    ('▲▲', '▼', '', '12 x ▲')
    """
    sign, number = (UP if steps > 0 else DOWN), abs(steps)
    return sign * number if number <= MOST_SIGNS else f"{number} x {sign}"


def _known(values: Floats | None) -> float | None:
    return None if values is None or not np.isfinite(values[0]) else float(values[0])
