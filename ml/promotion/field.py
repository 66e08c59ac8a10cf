"""The field: the losses of all ranked test cases of a dataset, aligned on their common days."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ml.data.targets import Floats
from ml.execution.results import result_tables
from ml.execution.workers import machine_of
from ml.promotion.finalists import is_ranked_result
from ml.records import ResultRow
from ml.store import Store

#: A case with a smaller share of the days of the longest case gets no column: it would shorten the common days of all
#: others.
FEWEST_SHARE = 0.9
_FIGURES = ["case_key", "case_json", "status", "skill", "rmse_pct", "worker"]
_LOSSES = ["loss_day", "loss_model", "loss_baseline"]


@dataclass(frozen=True, eq=False)
class CaseLosses:
    """A tested case with its losses per day.

    Attributes:
        figures: the columns of its result that rank it (see `ml.execution.results.SCHEMA`).
        days: (t,) days since 1970-01-01, ascending.
        losses: (t,) mean loss of each day.
        baseline: (t,) the same for the case's baseline.
    """

    figures: ResultRow
    days: npt.NDArray[np.int32]
    losses: Floats
    baseline: Floats


@dataclass(frozen=True, eq=False)
class Field:
    """Losses per day of k cases on T common days.

    Attributes:
        figures: of every ranked case, including those without a column, ascending by key.
        columns: case key -> its column.
        losses: (T, k) mean loss of the day.
        baselines: (T, k) the same for each case's baseline.
    """

    figures: list[ResultRow]
    columns: dict[str, int]
    losses: Floats
    baselines: Floats

    @property
    def best_baseline(self) -> Floats:
        """(T,) losses of the baseline with the lowest mean; cases with different train rows may have different ones."""
        best: Floats = self.baselines[:, int(np.argmin(self.baselines.mean(axis=0)))]
        return best

    def losses_of(self, keys: Sequence[str]) -> Floats | None:
        """(T,) mean losses of some cases; None if one of them has no column."""
        if not all(key in self.columns for key in keys):
            return None
        mean: Floats = self.losses[:, [self.columns[key] for key in keys]].mean(axis=1)
        return mean


def read_field(store: Store, dataset_id: str, without_machines: Collection[str] = ()) -> Field:
    """The ranked cases of a dataset; of several results of a case the first one that arrived counts.

    Args:
        store: with the results.
        dataset_id: of the results.
        without_machines: machines whose results are not trusted (see `ml.execution.workers.machine_of`).
    """
    first: dict[str, CaseLosses] = {}
    for case in _read_cases(store, dataset_id):
        if machine_of(case.figures["worker"]) not in without_machines:
            first.setdefault(case.figures["case_key"], case)
    return align([first[key] for key in sorted(first)])


def align(cases: Sequence[CaseLosses]) -> Field:
    """Align cases, ascending by key, on their common days.

    Cases with far fewer days than others (see `FEWEST_SHARE`), or with a loss that is not finite, get no column.
    """
    longest = max((len(case.days) for case in cases), default=0)
    kept = [case for case in cases if len(case.days) >= max(FEWEST_SHARE * longest, 1) and _is_finite(case)]
    distinct = {case.days.tobytes(): case.days for case in kept}  # nearly all cases have the same days
    common = reduce(np.intersect1d, distinct.values()) if kept else np.empty(0, np.int32)
    losses, baselines = np.empty((2, len(common), len(kept)))
    for column, case in enumerate(kept):
        places = np.searchsorted(case.days, common)
        losses[:, column], baselines[:, column] = case.losses[places], case.baseline[places]
    columns = {case.figures["case_key"]: column for column, case in enumerate(kept)}
    return Field([case.figures for case in cases], columns, losses, baselines)


def _is_finite(case: CaseLosses) -> bool:
    return bool(np.isfinite(case.losses).all() and np.isfinite(case.baseline).all())


def _read_cases(store: Store, dataset_id: str) -> Iterator[CaseLosses]:
    """Read cases from Arrow to NumPy directly: as Python numbers, ten thousand cases would take a gigabyte."""
    for _, whole in result_tables(store, dataset_id, _FIGURES + _LOSSES):
        table = whole.filter(pc.equal(whole["status"], "tested"))
        days, losses, baseline = (table[name] for name in _LOSSES)
        for row, figures in enumerate(table.select(_FIGURES).to_pylist()):
            lists = [column[row].values for column in (days, losses, baseline)]
            # Workers are not trusted: a malformed result must not stop the others.
            if None in (*figures.values(), *lists) or len({len(one) for one in lists}) > 1:
                continue
            if is_ranked_result("tested", figures["case_json"]):
                dates, *values = (one.to_numpy(zero_copy_only=False) for one in lists)
                yield CaseLosses(figures, dates.astype("datetime64[D]").astype(np.int32), *values)
