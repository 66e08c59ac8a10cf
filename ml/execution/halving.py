"""The rungs of successive halving: which cases of a search space are continued, derived from the stored results."""

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
    """Indexes, ascending, of the `count` highest skills (n,), NaN excluded; ties are broken by the key (n,)."""
    order = np.lexsort((keys, -skills))
    order = order[~np.isnan(skills[order])][:count]
    return np.sort(order)


class Rungs:
    """The rungs of one search space for one series, as far as results exist.

    Attributes:
        pruned: cases that were tested at a decided rung and not continued; counted while `cases` is consumed.
        unopened: upper bound of the cases in rungs that are not open yet; known when `cases` has been consumed.
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
                if result is not None and len(numbers) == entered:  # after a missing result the rung stays undecided
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
