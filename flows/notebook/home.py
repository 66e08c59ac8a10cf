"""A home, opened for reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from flows.notebook import candles as candle_frames
from flows.notebook.evaluation import CaseLike, evaluated
from flows.notebook.filters import matching, rows_of, series_of
from flows.notebook.model import Model, open_model
from flows.notebook.published_frames import PublishedFrames
from flows.notebook.snapshots import KEYS, pointer, snapshot_frame
from flows.settings import load_settings
from ml.data.dataset_pointers import current_datasets
from ml.data.datasets import read_dataset
from ml.data.feature_tables import read_feature_table
from ml.data.targets import NEXT_CANDLE
from ml.errors import DatasetError, StoreError
from ml.series import Series
from ml.store import Store


def open(home: str | PathLike[str] = ".candleworks", config: str | PathLike[str] | None = None) -> Home:
    """Open a home for reading.

    Args:
        home: its folder.
        config: the settings file, which may name another store; default ``candleworks.toml`` of this folder, if any.

    Raises:
        StoreError: the folder does not exist, nothing was published there yet, or by a program with another layout.
        ConfigurationError: the settings are wrong.
    """
    folder = Path(home)
    if not folder.is_dir():
        raise StoreError(
            f"There is no home {folder}. Name another folder, or make one: `candleworks demo --home {folder}`."
        )
    settings = load_settings(Path(config) if config is not None else None)
    store = Store(settings.storage.url or str(folder / "store"))
    store.check_schema()
    pointer(store)
    return Home(folder, store)


class Home(PublishedFrames):
    """A home as pandas frames; see `PublishedFrames`. Nothing is written, and flows may run meanwhile."""

    def __init__(self, folder: Path, store: Store) -> None:
        """Use `candleworks.open`."""
        self.folder = folder
        self._store = store

    def __repr__(self) -> str:
        return f"<candleworks home {self.folder}, published {pointer(self._store).get('published_at')}>"

    def _frame(self, name: str, index: str) -> pd.DataFrame:
        return snapshot_frame(self._store, name, index)

    def candles(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """Closed candles, oldest first, up to the last published one; index open_time.

        Returns:
            (n, 3 + 5): open, high, low, close (quote units), volume (base units). Missing candles have no row. Where
            more candles have closed since the last export than a snapshot holds (500), the frame ends with the export;
            a series that was never exported has only those of the snapshot. Either is a warning.
        """
        datasets, recent = current_datasets(self._store), snapshot_frame(self._store, "candles", "open_time")
        frames = {}
        for one in matching({*datasets, *series_of(recent)}, symbol, timeframe, exchange):
            published = rows_of(recent, [one])
            frames[one] = candle_frames.of_series(self._store, one, datasets.get(one), published)
        return _joined(frames)

    def features(
        self,
        symbol: str | None = None,
        timeframe: str | None = None,
        exchange: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Features of each candle as of the last export, known when the candle closes; index open_time.

        Args:
            symbol: filter.
            timeframe: filter.
            exchange: filter.
            columns: only these; default all, also those that no search space uses (`candleworks features` lists them
                with formulas and units).

        Returns:
            (n, 3 + f) float32, as models get them; NaN where a feature is not known.

        Raises:
            CaseError: a column is no feature.
            DatasetError: a series was not exported yet.
        """

        def read(series: Series) -> pd.DataFrame:
            return candle_frames.with_times(read_feature_table(self._store, series, columns).to_pandas())

        return self._exported(read, symbol, timeframe, exchange)

    def labels(
        self,
        symbol: str | None = None,
        timeframe: str | None = None,
        exchange: str | None = None,
        target: str = NEXT_CANDLE,
    ) -> pd.DataFrame:
        """Labels that models learn to predict, on the row of the last candle they know; index open_time.

        Returns:
            (n, 3 + k) float64, as of the last export. Of the target ``next_candle``: label_high, label_low and
            label_close, each ln(price of the next candle / close of this one). NaN where the future is not known yet.

        Raises:
            CaseError: a series has no such target.
            DatasetError: a series was not exported yet.
        """
        datasets = current_datasets(self._store)
        return self._exported(
            lambda series: candle_frames.labels(read_dataset(self._store, datasets[series]), target),
            symbol,
            timeframe,
            exchange,
        )

    def model(self, identity: str) -> Model:
        """A saved model, to predict with.

        Args:
            identity: its id, or an unambiguous beginning of it (`candleworks models` lists the ids).

        Raises:
            StoreError: none or several ids match.
        """
        return open_model(self._store, identity, self.candles)

    def evaluate(self, case: CaseLike, dataset_id: str | None = None) -> pd.DataFrame:
        """Evaluate a test case as a sweep does: fit on train rows, evaluate on validation rows.

        The result is not stored and does not count as a trial: to use a case that you found this way, put it into a
        search space. The holdout stays closed.

        Args:
            case: a `TestCase`, its description as a dict, or as JSON (`case_json` of a result).
            dataset_id: the data set; default the newest one of the case's series. To get a stored result again, name
                its own.

        Returns:
            (1, columns): as a row of `results`, with the same metrics.

        Raises:
            CaseError: the case is impossible, or its features or target are not in the data set.
            DatasetError: there is no such data set.
            PredictionError: the model's output is not usable.
        """
        return evaluated(self._store, case, dataset_id)

    def _exported(
        self,
        read: Callable[[Series], pd.DataFrame],
        symbol: str | None,
        timeframe: str | None,
        exchange: str | None,
    ) -> pd.DataFrame:
        known = current_datasets(self._store)
        if not known:
            raise DatasetError(f"Nothing has been exported to {self._store.url} yet. Run `candleworks export`.")
        return _joined({one: read(one) for one in matching(known, symbol, timeframe, exchange)})


def _joined(frames: Mapping[Series, pd.DataFrame]) -> pd.DataFrame:
    """Frames of series one after the other, with the series as first columns."""
    for series, frame in frames.items():
        for place, name in enumerate(KEYS):
            frame.insert(place, name, pd.Series(getattr(series, name), index=frame.index, dtype="str"))
    return pd.concat(frames.values())
