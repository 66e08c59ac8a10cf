"""Canaries on this machine: the trials of `ml.canaries.report` in several processes, with the product's selection."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from flows.pools import worker_process
from flows.reporting import Reporter, Step
from ml.canaries.markets import Trial
from ml.canaries.report import Plan, Report, examine
from ml.canaries.selection import Outcome, Selection, run_trial
from ml.promotion.challengers import challenger_of
from ml.promotion.settings import PromotionSettings


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
    selection = Selection(challenger_of, settings)
    with ProcessPoolExecutor(
        processes or os.cpu_count() or 1,
        # spawn: a forked child would inherit loaded libraries with all their threads.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=worker_process.prepare,
        initargs=(os.getpid(), None),
    ) as executor:

        def run(name: str, trials: Sequence[Trial]) -> list[Outcome]:
            with reporter.step(name) as step:
                return _collected(executor, selection, trials, step)

        return examine(plan, run)


def _collected(
    executor: ProcessPoolExecutor, selection: Selection, trials: Sequence[Trial], step: Step
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for outcome in executor.map(partial(run_trial, selection=selection), trials):
        outcomes.append(outcome)
        step.count(len(outcomes), len(trials))
    promoted = sum(outcome.promoted for outcome in outcomes)
    step.say(f"{len(outcomes)} markets, {promoted} champions")
    return outcomes
