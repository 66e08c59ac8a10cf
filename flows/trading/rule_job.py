"""A job for a worker process: the rules of one series, from the results on its dataset to the models that serve."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from flows.workspace.workspace import home_store
from ml.data.datasets import Dataset, read_dataset
from ml.errors import CandleworksError
from ml.execution.results import read_results
from ml.forecasting.model_folder import ModelFolder, ModelSeal, seals_of_rule
from ml.records import ResultRow
from ml.search.cases import TestCase
from ml.store import Store
from ml.timeframes import utc_ms
from ml.trading.records import EquityRow, RuleRecord, TradeRow, TradingFigures
from ml.trading.scores import CaseForecasts, FittedCases
from ml.trading.selection import Outcome, Reports, Selected, Trader, select_rule
from ml.trading.served import save_for_signals
from ml.trading.sources import cases_of


@dataclass(frozen=True)
class RuleTask:
    """A rule to choose, or one whose rows are missing: it is computed again from the cases of its record."""

    trader: Trader
    sealed: RuleRecord | None = None


@dataclass(frozen=True)
class PartRows:
    """The rows of the trading tables about one part."""

    part: str
    figures: TradingFigures
    equity: list[EquityRow]
    trades: list[TradeRow]

    @classmethod
    def of(cls, outcome: Outcome) -> PartRows:
        """The rows of an outcome."""
        return cls(outcome.part.name, outcome.figures, outcome.equity, outcome.trades)


@dataclass(frozen=True)
class SelectedRule:
    """The outcome of a task.

    Attributes:
        trader: of the task.
        problem: the reason why there is no rule; empty if there is one.
        record: of the rule, to be sealed; None for one that is sealed already, or where there is none.
        parts: rows of validation and holdout.
    """

    trader: Trader
    problem: str = ""
    record: RuleRecord | None = None
    parts: list[PartRows] = field(default_factory=list)


def select_on(
    place: tuple[str, str],
    dataset_id: str,
    tasks: Sequence[RuleTask],
    spans: Sequence[tuple[str, str]],
    now_ms: int,
    marked: Collection[str] = (),
) -> list[SelectedRule]:
    """Choose the rules of one series.

    Args:
        place: URL of the store, and its home.
        dataset_id: newest dataset of the series.
        tasks: signals without a rule, and rules without rows.
        spans: first and last open time of every earlier report on the holdout of the series.
        now_ms: time of the decision.
        marked: machines whose results are not trusted.
    """
    n_new = sum(one.sealed is None for one in tasks)
    return _Job(home_store(*place), dataset_id, n_new, spans, now_ms, marked).run(tasks)


@dataclass
class _Job:
    store: Store
    dataset_id: str
    n_new: int
    spans: Sequence[tuple[str, str]]
    now_ms: int
    marked: Collection[str] = ()
    _fitted: dict[str, FittedCases] = field(default_factory=dict)

    def run(self, tasks: Sequence[RuleTask]) -> list[SelectedRule]:
        done = []
        for task in tasks:
            try:
                done.append(self._done(task))
            except CandleworksError as error:
                done.append(SelectedRule(task.trader, problem=str(error)))
        return done

    def _done(self, task: RuleTask) -> SelectedRule:
        if task.sealed is not None:
            cases = [self._saved_case(name, seal) for name, seal in seals_of_rule(task.sealed)]
            forecasts = self._on(task.sealed["dataset_id"]).forecasts(cases)
            selected = self._selected(task.trader, forecasts, task.sealed["openings"])
            return SelectedRule(task.trader, parts=_parts(selected))
        cases = cases_of(task.trader.signal, self._results)
        fitted = self._on(self.dataset_id)
        forecasts = fitted.forecasts(cases)
        selected = self._selected(task.trader, forecasts, self.n_new + self._earlier(cases[0], fitted.dataset))
        models = [save_for_signals(self.store, one) for one in forecasts]
        record: RuleRecord = {
            **selected.record,
            "model_ids": [one.id for one in models],
            "model_cards": [one.card_sha256 for one in models],
        }
        return SelectedRule(task.trader, record=record, parts=_parts(selected))

    @cached_property
    def _results(self) -> list[ResultRow]:
        return read_results(self.store, self.dataset_id, without_machines=self.marked)

    def _selected(self, trader: Trader, forecasts: Sequence[CaseForecasts], openings: int) -> Selected:
        return select_rule(trader, forecasts, Reports(openings, self.now_ms))

    def _on(self, dataset_id: str) -> FittedCases:
        if dataset_id not in self._fitted:
            self._fitted[dataset_id] = FittedCases(read_dataset(self.store, dataset_id))
        return self._fitted[dataset_id]

    def _saved_case(self, model_id: str, seal: ModelSeal) -> TestCase:
        return ModelFolder.open(self.store, model_id, seal).case

    def _earlier(self, case: TestCase, dataset: Dataset) -> int:
        """Earlier reports on holdout candles of the series that are in this holdout too."""
        first_ms = int(dataset.open_time_ms[int(len(dataset) * (case.train_fraction + case.validation_fraction))])
        return sum(utc_ms(last) >= first_ms for _, last in self.spans)


def _parts(selected: Selected) -> list[PartRows]:
    return [PartRows.of(selected.validation), PartRows.of(selected.holdout)]
