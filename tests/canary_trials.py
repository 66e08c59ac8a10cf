"""Trials of the canaries by selections that differ in what follows the evaluation, over the same markets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from ml.canaries import selection, trading
from ml.canaries.markets import Trial
from ml.data.datasets import Dataset
from ml.records import ResultRow


@contextmanager
def each_market_evaluated_once() -> Iterator[None]:
    """Within, a trial over a market that was met before takes its results, which are most of the work of a trial."""
    search = selection.search_market
    known: dict[str, list[ResultRow]] = {}

    def search_once(trial: Trial, dataset: Dataset) -> list[ResultRow]:
        market = dataset.identity()
        if market not in known:
            known[market] = search(trial, dataset)
        return list(known[market])

    with (
        mock.patch.object(selection, "search_market", search_once),
        mock.patch.object(trading, "search_market", search_once),
    ):
        yield
