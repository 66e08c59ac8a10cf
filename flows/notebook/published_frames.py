"""The frames of the published snapshot, which a home and the HTTP API have alike."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pandas as pd

from flows.notebook.filters import matching, rows_of, series_of


class PublishedFrames(ABC):
    """The published snapshot as pandas frames. Every call reads the newest version.

    All frames have the columns exchange, symbol and timeframe first (strings) and a `DatetimeIndex` in UTC. Times are
    UTC, prices in quote units, volume in base units; whole numbers and flags are pandas' nullable types, other numbers
    float64. The filters `symbol` (``"BTC/USDT"``), `timeframe` (``"1h"``) and `exchange` keep the rows with that value;
    without any, all series are returned.

    Every method raises `CandleDataError` if no series matches a filter, naming the existing values, and `StoreError` if
    the files cannot be read.
    """

    @abstractmethod
    def _frame(self, name: str, index: str) -> pd.DataFrame:
        """A table of the newest version; `index` names the column of times that becomes its index."""

    def results(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """Every test case that was tried, by data set, oldest first; index finished_at.

        Returns:
            (n, 3 + columns): case_key, dataset_id, model, case_json (`evaluate` takes it), status, error and the
            metrics on validation rows: errors ending in _pct in percent of the close, in _quote in quote units, skills
            as 1 - error / error of the baseline. A metric that the kind of target does not have is NaN.
        """
        return self._published("results", "finished_at", symbol, timeframe, exchange)

    def leaderboard(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """The cases of each series on its newest data set, best first; index finished_at.

        Returns:
            (n, 3 + columns): rank, model, the metrics of `results`, holdout_skill, n_trials and, for finalists,
            whether the skill could be luck (skill_lower and skill_upper, a 90 % interval; spa_p_value).
        """
        return self._published("leaderboard", "finished_at", symbol, timeframe, exchange, in_time=False)

    def forecasts(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """Sealed forecasts with their latest score, oldest first; index target_open_time.

        Returns:
            (n, 3 + columns): open, high, low, close, band_low, band_high and the actual prices in quote units,
            band_level as a probability, error_pct in percent of the open; as JSON the prediction intervals of all
            levels, the forecasts of the rivals and the contributions of the inputs; their novelty over its limit.
        """
        return self._published("forecasts", "target_open_time", symbol, timeframe, exchange)

    def scores(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """Scores of forecasts whose candle has closed, every revision, oldest first; index target_open_time.

        Returns:
            (n, 3 + columns): forecast_hash, revision, errors in percent of the open, covered, skill.
        """
        return self._published("scores", "target_open_time", symbol, timeframe, exchange)

    def verdicts(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """Why each champion was promoted, refused, confirmed or retired, oldest first; index decided_at.

        Returns:
            (n, 3 + columns): decision, rule, reason, case_key, model_id, skill, p_value and further figures.
        """
        return self._published("verdicts", "decided_at", symbol, timeframe, exchange)

    def _published(
        self,
        name: str,
        index: str,
        symbol: str | None,
        timeframe: str | None,
        exchange: str | None,
        in_time: bool = True,
    ) -> pd.DataFrame:
        frame = self._frame(name, index)
        if (symbol, timeframe, exchange) != (None, None, None):
            # A configured series without rows of this kind is no error: its frame is empty.
            known = series_of(self._frame("data_health", "last_open_time")) | series_of(frame)
            frame = rows_of(frame, matching(known, symbol, timeframe, exchange))
        return frame.sort_index(kind="stable") if in_time else frame
