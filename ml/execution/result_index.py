"""The result index of one dataset: the test cases with a result, and their skill, at 17 bytes per case."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.execution.results import result_tables
from ml.search.keys import Numbers, key_number, place_of
from ml.store import Store


@dataclass(frozen=True, eq=False)
class ResultIndex:
    """Results of n cases.

    Attributes:
        numbers: (n,) keys as numbers, ascending.
        skills: (n,) skill on validation; NaN for a case that failed.
        failed: (n,) whether it failed.
    """

    numbers: Numbers
    skills: npt.NDArray[np.float64]
    failed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def n_failed(self) -> int:
        """Number of failed cases."""
        return int(self.failed.sum())

    def find(self, key: str) -> tuple[float, bool] | None:
        """Skill (NaN if it failed) and whether it failed; None for a case without a result."""
        place = place_of(self.numbers, key_number(key))
        return None if place is None else (float(self.skills[place]), bool(self.failed[place]))


def read_result_index(store: Store, dataset_id: str) -> ResultIndex:
    """The index of the stored results of a dataset; of several results of a case the first one that arrived counts."""
    numbers, skills, failed = array("Q"), array("d"), array("b")
    for _, table in result_tables(store, dataset_id, ["case_key", "status", "skill"]):
        for row in table.to_pylist():
            numbers.append(key_number(row["case_key"]))
            skills.append(np.nan if row["skill"] is None else row["skill"])
            failed.append(row["status"] == "failed")
    found, first = np.unique(np.array(numbers, dtype=np.uint64), return_index=True)
    return ResultIndex(found, np.array(skills)[first], np.array(failed, dtype=np.bool_)[first])
