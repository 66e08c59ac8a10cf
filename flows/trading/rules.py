"""Rules: the thresholds of every signal, chosen on the newest dataset of its series and sealed with their report.

A rule serves until its signal, its costs or its columns have changed, or `trading.keep_days` have passed. One job per
series runs in a worker process: it fits the cases of the signals once, chooses the thresholds, and saves the models
that will serve. The rows of figures, equity and trades are in the warehouse only; where they are missing they are
computed again from the sealed rule, without another report on the holdout.
"""

from __future__ import annotations

from typing import Any

from prefect import task

from flows.pools.local_pool import LocalPool
from flows.promotion.promote import decision_time_ms
from flows.reporting import Reporter, Step
from flows.tasks import UNCACHED, show_table
from flows.trading.rule_job import RuleTask, SelectedRule, select_on
from flows.trading.signals import SealedRule, active_signals, newest_rules, place_of, signal_key
from flows.trading.tables import known_parts, write_part
from flows.warehouse.export import require_datasets
from flows.workspace.workspace import Workspace
from ml.data.datasets import changed_columns
from ml.errors import StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.model_folder import seals_of_rule
from ml.forecasting.model_store import read_card
from ml.promotion.verdicts import marked_machines, read_verdicts
from ml.records import Manifest
from ml.series import Series
from ml.store import Store
from ml.timeframes import DAY_MS, utc_ms
from ml.trading.records import RuleRecord
from ml.trading.selection import Trader

#: Columns of the table of rules on the page of a flow run.
SHOWN = ("symbol", "timeframe", "signal", "buy", "sell", "trials", "p_value", "is_shown", "reason")


@task(name="choose rules", task_run_name="choose rules {series}", **UNCACHED)
def choose(series: Series, pool: LocalPool, *known: Any) -> list[SelectedRule]:
    """Choose the rules of one series in a worker process; `known` as in `select_on`."""
    return pool.run(select_on, *known)


def run_rules(workspace: Workspace, pool: LocalPool, reporter: Reporter) -> list[RuleRecord]:
    """Choose the rules that are due, of all series; returns the new ones."""
    with reporter.step("trading rules") as step:
        now_ms, manifests = decision_time_ms(workspace), require_datasets(workspace)
        due, spans = due_rules(workspace, manifests, now_ms), holdout_spans(workspace.store)
        marked = marked_machines(read_verdicts(workspace.store), workspace.settings.promotion.trusted_again)
        futures = {
            series: choose.submit(
                series, pool, workspace.place, manifests[series]["id"], tasks, spans.get(series, []), now_ms, marked
            )
            for series, tasks in due.items()
        }
        made: list[RuleRecord] = []
        without: dict[str, list[str]] = {}
        for done, (series, future) in enumerate(futures.items(), 1):
            for selected in future.result():
                if selected.problem:
                    without.setdefault(selected.problem, []).append(f"{series} {selected.trader.signal.name}")
                else:
                    made += keep_rule(workspace, series, selected)
            step.count(done, len(futures))
        _say(step, made, without)
        show_table("rules", [{name: rule.get(name) for name in SHOWN} for rule in made], "New trading rules")
    return made


def due_rules(workspace: Workspace, manifests: dict[Series, Manifest], now_ms: int) -> dict[Series, list[RuleTask]]:
    """Series -> its signals without a valid rule, and its rules without rows in the warehouse."""
    store, rules = workspace.store, newest_rules(workspace.store)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        known = known_parts(connection)
    active = active_signals(workspace.settings)
    due: dict[Series, list[RuleTask]] = {}
    for series, manifest in manifests.items():
        for trader in active[series]:
            place = place_of(signal_key(series, trader))
            rule = rules.get(place)
            if rule is None or why_due(store, trader, rule, manifest, now_ms, workspace.settings.trading.keep_days):
                due.setdefault(series, []).append(RuleTask(trader))
            elif (*place, "holdout") not in known:
                due.setdefault(series, []).append(RuleTask(trader, rule.record))
    return due


def why_due(store: Store, trader: Trader, rule: SealedRule, manifest: Manifest, now_ms: int, keep_days: float) -> str:
    """The reason why a rule has to be chosen again; empty if it serves on."""
    record = rule.record
    if record["signal_key"] != trader.key:
        return "its signal or its costs have changed"
    if now_ms - utc_ms(record["decided_at"]) > keep_days * DAY_MS:
        return f"it is older than {keep_days:g} days"
    fingerprints = manifest.get("fingerprints", {})
    for name, seal in seals_of_rule(record):
        try:
            lineage = read_card(store, name, seal).get("lineage", {})
        except StoreError:
            return f"its model {name} was deleted from the store"
        if changed := changed_columns(lineage, fingerprints, lineage):
            return f"{changed[0]} is computed otherwise now"
    return ""


def holdout_spans(store: Store) -> dict[Series, list[tuple[str, str]]]:
    """Series -> first and last open time of every report on its holdout, by any signal."""
    spans: dict[Series, list[tuple[str, str]]] = {}
    for sealed in Chain(store, "rules").records():
        record: RuleRecord = sealed["body"]
        series = Series(exchange=record["exchange"], symbol=record["symbol"], timeframe=record["timeframe"])
        holdout = record["holdout"]
        spans.setdefault(series, []).append((str(holdout["start_time"]), str(holdout["end_time"])))
    return spans


def keep_rule(workspace: Workspace, series: Series, selected: SelectedRule) -> list[RuleRecord]:
    """Store the rows, then seal the record; a rule that is sealed already gives no new one."""
    key = signal_key(series, selected.trader)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        for rows in selected.parts:
            write_part(connection, key, rows.part, rows.figures, rows.equity, rows.trades)
    if selected.record is None:
        return []
    record: RuleRecord = {**key, "signal_key": selected.trader.key, **selected.record}
    workspace.chain("rules").append(record)
    return [record]


def _say(step: Step, made: list[RuleRecord], without: dict[str, list[str]]) -> None:
    """One line about all rules, and one per reason why signals have none."""
    shown = sum(rule["is_shown"] for rule in made)
    none = sum(map(len, without.values()))
    step.say(f"{len(made)} chosen, {shown} of them shown better than holding; {none} without a rule")
    for problem, names in without.items():
        others = f" and {len(names) - 1} others" if len(names) > 1 else ""
        step.warn(f"No rule of {names[0]}{others}: {problem}")
