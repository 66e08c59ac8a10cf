"""Canaries on this machine: the trials of `ml.canaries.report` in several processes, with the product's functions."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

from flows.pools import worker_process
from flows.reporting import Reporter
from ml.canaries.markets import Trial
from ml.canaries.report import Plan, Report, Run, T, TradingReport, examine, examine_trading
from ml.canaries.selection import Selection, run_trial
from ml.canaries.trading import RuleChoice, run_trading_trial
from ml.promotion.challengers import challenger_of
from ml.promotion.settings import PromotionSettings
from ml.trading.costs import Costs
from ml.trading.signals import read_signals


def run_canary(plan: Plan, settings: PromotionSettings, processes: int, reporter: Reporter) -> Report:
    """Examine the product's selection with the settings of the workspace.

    Args:
        plan: which trials.
        settings: of the promotion gate.
        processes: how many, one thread each; 0: one per core. The report does not depend on it.
        reporter: receives the progress of each set.

    Raises:
        CaseError: a case failed.
    """
    trial = partial(run_trial, selection=Selection(challenger_of, settings))
    with _workers(processes) as executor:
        return examine(plan, _runner(executor, trial, reporter, "champions"))


def run_trading_canary(plan: Plan, costs: Costs, processes: int, reporter: Reporter) -> TradingReport:
    """Examine the choice of trading rules, for the built-in signals, at these costs; otherwise as `run_canary`."""
    signals = tuple(read_signals([]))
    trial = partial(run_trading_trial, choice=RuleChoice(signals, costs))
    with _workers(processes) as executor:
        return examine_trading(plan, len(signals), _runner(executor, trial, reporter, "with a rule that is shown"))


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(
        processes or os.cpu_count() or 1,
        # spawn: a forked child would inherit loaded libraries with all their threads.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=worker_process.prepare,
        initargs=(os.getpid(), None),
    ) as executor:
        yield executor


def _runner(executor: ProcessPoolExecutor, trial: Callable[[Trial], T], reporter: Reporter, found: str) -> Run[T]:
    """Runs the trials of a set; `found` names in a few words those in which something was."""

    def run(name: str, trials: Sequence[Trial]) -> list[T]:
        with reporter.step(name) as step:
            outcomes: list[T] = []
            for outcome in executor.map(trial, trials):
                outcomes.append(outcome)
                step.count(len(outcomes), len(trials))
            step.say(f"{len(outcomes)} markets, {sum(one.found for one in outcomes)} {found}")
        return outcomes

    return run
