"""Splits by time: train | purge | validation | purge | sealed holdout.

Rows overlap in time: a row looks back over its lags and forward to its label. The purge drops as many rows as a window
and a label span, so that no evaluated candle was seen in training.

Source: M. López de Prado, Advances in Financial Machine Learning (2018), chapter 7 (purging and embargo).
"""

from __future__ import annotations

from dataclasses import dataclass

from ml.errors import CaseError


@dataclass(frozen=True)
class Split:
    """Half-open row ranges [start, stop) of a dataset in time order."""

    train: tuple[int, int]
    validation: tuple[int, int]
    holdout: tuple[int, int]


def split_by_time(rows: int, *, train_fraction: float, validation_fraction: float, horizon: int, lags: int) -> Split:
    """Cut `rows` rows into train, validation and holdout with a purge of ``horizon + lags`` rows before each cut's end.

    Args:
        rows: number of rows of the dataset.
        train_fraction: share of the rows before the first cut, in (0, 1).
        validation_fraction: share between the cuts; the rest is the holdout.
        horizon: rows from a row to the candle that its label describes.
        lags: rows in a window, including the row itself.

    Raises:
        CaseError: a part would be empty.
    """
    first_cut = int(rows * train_fraction)
    second_cut = int(rows * (train_fraction + validation_fraction))
    purge = horizon + lags
    split = Split(
        train=(0, first_cut - horizon),
        validation=(first_cut - horizon + purge, second_cut - horizon),
        holdout=(second_cut - horizon + purge, rows),
    )
    for name in ("train", "validation", "holdout"):
        start, stop = getattr(split, name)
        if stop <= start:
            raise CaseError(
                f"No row is left for {name} of {rows} rows with {lags} lags. Ingest more candles or use fewer lags."
            )
    return split
