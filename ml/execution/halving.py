"""The rungs of a successive halving: which cases of a search space go on, read off the results in the store."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ml.execution.result_index import ResultIndex
from ml.search.case_ranges import CaseRange
from ml.search.cases import TestCase
from ml.search.halving import Halving, at_rung
from ml.search.keys import key_number


def best(skills: npt.NDArray[np.float64], keys: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.int64]:
    """Places, ascending, of the `count` highest skills (n,) but NaN; equal ones are decided by the key (n,)."""
    order = np.lexsort((keys, -skills))
    order = order[~np.isnan(skills[order])][:count]
    return np.sort(order)


class Rungs:
    """The rungs of one search space for one series, as far as the results let them be climbed.

    Attributes:
        pruned: cases that were tested at a decided rung and not continued; counted while `cases` is read.
        unopened: cases at most of the rungs that are not open yet; known when `cases` has been read.
    """

    def __init__(self, cases: CaseRange, halving: Halving, index: ResultIndex) -> None:
        self._range = cases
        self._halving = halving
        self._index = index
        self.pruned = 0
        self.unopened = 0

    def cases(self) -> Iterator[TestCase]:
        """The cases of all rungs that are open; a rung opens when every case of the one below has a result."""
        entrants = self._range.numbered()
        for height, rung in enumerate(self._halving.rungs):
            skills, keys, entered = array("d"), array("Q"), 0
            numbers: list[int] = []
            for number, case in entrants:
                climbing = at_rung(case, rung)
                yield climbing
                result = self._index.find(climbing.key)
                if result is not None and len(numbers) == entered:  # else nothing can be decided, nothing is kept
                    skills.append(result[0])
                    keys.append(key_number(climbing.key))
                    numbers.append(number)
                entered += 1
            if height + 1 == len(self._halving.rungs):
                return
            if len(numbers) < entered:
                self.unopened = sum(self._halving.sizes(entered)[1 : len(self._halving.rungs) - height])
                return
            chosen = [numbers[place] for place in best(np.array(skills), np.array(keys), self._halving.kept(entered))]
            self.pruned += int(np.isfinite(skills).sum()) - len(chosen)
            entrants = self._range.cases_at(chosen)
