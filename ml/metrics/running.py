"""Running quantiles: of the latest scores before each row, followed from one row to the next in compiled code.

All scores are ranked first. The quantile is then a place among the ranks; a score that enters the window, or leaves it,
moves it by a score or two, so that a row takes some 20 ns for any window.

Source: Suomela, Median Filtering is Equivalent to Sorting (2014), for the ranks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.machine_code import machine_code

Whole = npt.NDArray[np.int64]


class RankedScores:
    """Scores with their ranks, from which running quantiles of any level follow.

    Args:
        scores: (n,) of one part after the other, each oldest first; a window never has scores of two parts.
        starts: (p + 1,) where each part begins, and n.
    """

    def __init__(self, scores: Floats, starts: Whole) -> None:
        self._starts = starts
        order = np.argsort(scores)
        if len(starts) > 2:
            part = np.repeat(np.arange(len(starts) - 1, dtype=np.uint16), np.diff(starts))
            order = order[np.argsort(part[order], kind="stable")]
        self._places = np.empty(len(scores), np.int64)
        self._places[order] = np.arange(len(scores))
        self._ascending = scores[order]

    def quantiles(self, level: float, window: int) -> Floats:
        """Of every part (m,) the quantiles (m + 1,) of its first 0, 1, .. m scores, each of the latest `window` scores.

        The quantile of m scores is the ceil((m + 1) level)-th smallest, at most the largest; without scores it is 0.

        Returns:
            (n + p,) the quantiles of all parts, one after the other.
        """
        found = np.empty(len(self._places) + len(self._starts) - 1)
        machine_code(_follow)(self._starts, self._places, self._ascending, _ranks(level, window), found)
        return found


@lru_cache(maxsize=16)
def _ranks(level: float, window: int) -> Whole:
    """(window + 1,) the rank of the quantile among 0, 1, .. window scores."""
    ranks: Whole = np.minimum(np.ceil(np.arange(1, window + 2) * level), np.arange(window + 1)).astype(np.int64)
    return ranks


def _follow(starts: Whole, places: Whole, ascending: Floats, ranks: Whole, found: Floats) -> None:
    """Write the quantiles; `places` are those of the scores among the `ascending` ones of all parts."""
    window = len(ranks) - 1
    inside = np.zeros(len(places), np.int8)  # whether the score with a place is in the window
    for part in range(len(starts) - 1):
        first = starts[part]
        at, upto = first - 1, 0  # the place of the quantile, and how many scores of the window are there or below
        found[first + part] = 0.0
        for count in range(1, starts[part + 1] - first + 1):
            entering = places[first + count - 1]
            inside[entering] = 1
            upto += entering <= at
            if count > window:
                leaving = places[first + count - 1 - window]
                inside[leaving] = 0
                upto -= leaving <= at
            rank = ranks[min(count, window)]
            while upto < rank:
                at += 1
                upto += inside[at]
            while upto - inside[at] >= rank:
                upto -= inside[at]
                at -= 1
            found[first + part + count] = ascending[at]


def load() -> None:
    """Load the machine code, or compile it on a machine that has none yet, before anything is timed."""
    RankedScores(np.zeros(1), np.array([0, 1])).quantiles(0.5, 1)
