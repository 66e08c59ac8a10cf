"""The test cases behind a signal: the best of a target, or a named one, among the results on a dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ml.data.targets import NEXT_CANDLE
from ml.errors import CaseError
from ml.promotion.finalists import best_result, learns_close, target_of
from ml.records import ResultRow
from ml.search.cases import TestCase
from ml.trading.signals import BEST, Signal, Source


def cases_of(signal: Signal, results: Sequence[ResultRow]) -> list[TestCase]:
    """The case of every source, out of the tested results on one dataset.

    Raises:
        CaseError: a source has none.
    """
    return [_case_of(source, results) for source in signal.all_sources]


def _case_of(source: Source, results: Sequence[ResultRow]) -> TestCase:
    row = _best(source, results) if source.case == BEST else _named(source, results)
    case = TestCase.model_validate_json(row["case_json"])
    if case.target != source.target or (source.learns_close and case.keeps_close):
        raise CaseError(
            f"Case {case.key[:8]} learns {case.target}{' without a move of the close' if case.keeps_close else ''}; "
            f"the signal needs {_wanted(source)}. Name another case, or the other target or quantity."
        )
    return case


def _best(source: Source, results: Sequence[ResultRow]) -> ResultRow:
    alike = [row for row in results if row["status"] == "tested" and target_of(row) == source.target]
    if source.target == NEXT_CANDLE:
        best = best_result(row for row in alike if not source.learns_close or learns_close(row))
    else:
        known = [row for row in alike if row["skill"] is not None and math.isfinite(row["skill"])]
        best = max(known, key=lambda row: (row["skill"], row["case_key"]), default=None)
    if best is None:
        raise CaseError(
            f"no result of {_wanted(source)}: run `candleworks sweep` with a search space that has one, as "
            f"{'the default' if source.target == NEXT_CANDLE else 'ml/search_spaces/events.toml'}"
        )
    return best


def _named(source: Source, results: Sequence[ResultRow]) -> ResultRow:
    found = [row for row in results if row["status"] == "tested" and row["case_key"].startswith(source.case)]
    if len(found) != 1:
        raise CaseError(
            f"{len(found) or 'no'} results have the key {source.case!r}: `candleworks results --all` lists the keys"
        )
    return found[0]


def _wanted(source: Source) -> str:
    return f"{source.target} that learns the close" if source.learns_close else source.target
