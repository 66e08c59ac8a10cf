"""Backtest of a test case of this workspace (see `ml.trading.backtest`)."""

from __future__ import annotations

from flows.pools.local_pool import LocalPool
from flows.workspace.workspace import Workspace
from ml.data.dataset_pointers import newest_dataset_of
from ml.data.datasets import read_dataset
from ml.errors import CaseError
from ml.execution.results import read_results
from ml.promotion.finalists import best_result, learns_close
from ml.records import ResultRow
from ml.search.cases import TestCase
from ml.store import Store
from ml.trading.backtest import BacktestFigures, DirectionRule, backtest
from ml.trading.intervals import FEWEST_DAYS
from ml.trading.ledger import Costs

#: With fewer trades a ratio of gains to their deviation is chance.
FEWEST_TRADES = 30


class BacktestRecord(BacktestFigures):
    """The outcome with the case that was traded."""

    symbol: str
    timeframe: str
    model: str
    case_key: str


def run_backtest(
    workspace: Workspace, symbol: str, timeframe: str, key: str, rule: DirectionRule, costs: Costs
) -> BacktestRecord:
    """Trade the direction of a case on the newest dataset of its series.

    Args:
        workspace: with the results.
        symbol: of the series.
        timeframe: of the series.
        key: of the case or its beginning; empty: the best one that learns the close.
        rule: that turns forecasts into positions.
        costs: of each trade.

    Raises:
        CaseError: there is no such series, result or direction.
    """
    dataset_id = newest_dataset_of(workspace.store, symbol, timeframe)
    row = _chosen([one for one in read_results(workspace.store, dataset_id) if one["status"] == "tested"], key)
    with LocalPool(1, workspace.logs / "workers.log") as pool:
        figures = pool.run(backtest_on, workspace.store_url, row["dataset_id"], row["case_json"], rule, costs)
    record: BacktestRecord = {
        "symbol": symbol,
        "timeframe": timeframe,
        "model": row["model"],
        "case_key": row["case_key"],
        **figures,
    }
    return record


def backtest_on(store_url: str, dataset_id: str, case_json: str, rule: DirectionRule, costs: Costs) -> BacktestFigures:
    """A job for a worker process: see `ml.trading.backtest.backtest`."""
    return backtest(TestCase.model_validate_json(case_json), read_dataset(Store(store_url), dataset_id), rule, costs)


def _chosen(results: list[ResultRow], key: str) -> ResultRow:
    if key:
        found = [row for row in results if row["case_key"].startswith(key)]
        if len(found) != 1:
            raise CaseError(
                f"{len(found) or 'No'} results on the newest dataset have the key {key!r}. "
                "`candleworks results --all` lists the keys."
            )
        return found[0]
    best = best_result(row for row in results if learns_close(row))
    if best is None:
        raise CaseError(
            "No result learns the close, so there is no direction to trade. Run `candleworks sweep` with a search "
            'space that has close = "learnt", as the default ones.'
        )
    return best


def sentence(record: BacktestRecord, costs: Costs) -> str:
    """The outcome in one sentence: costs and luck first."""
    lower, upper = record["over_holding_lower"], record["over_holding_upper"]
    is_better = lower is not None and lower > 0
    shown = "better than holding" if is_better else "not shown to be better than holding"
    spread = (
        f"fewer than {FEWEST_DAYS} days, too few for a range"
        if lower is None or upper is None
        else f"90 % range of the logarithmic difference {lower:+.2f} to {upper:+.2f}"
    )
    few = "" if record["trades"] >= FEWEST_TRADES else f", fewer than the {FEWEST_TRADES} that a ratio needs"
    cost = costs.fee[0][1] + costs.slippage
    return (
        f"After {cost:.2%} a side: {record['total_return']:+.1%}, holding {record['holding_return']:+.1%}; "
        f"{spread}; {record['trades']:,} trades{few}: {shown}. These are the validation rows, on which the case was "
        "selected: they flatter it."
    )
