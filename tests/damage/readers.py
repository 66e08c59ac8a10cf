"""The readers of the matrix: commands of the command line, steps of the flows, the pages' snapshot."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from app.versions import load_version, newest
from flows.cli import main
from flows.forecasting.forecast import forecast_all, score_all
from flows.forecasting.publish import publish
from flows.forecasting.rounds import weigh_rounds
from flows.promotion.promote import promote_series, spa_p_values, trial_counts
from flows.promotion.review import review_series
from flows.promotion.significance import due_datasets, significance_rows
from flows.promotion.steps import stale_champions
from flows.settings import load_settings
from flows.studies.reproduce import evaluate_again
from flows.trading.live import trade_all
from flows.trading.rules import due_rules
from flows.warehouse.export import require_datasets
from flows.warehouse.feature_columns import wanted_groups
from flows.warehouse.load import load_into, load_store
from flows.workspace.workspace import Workspace
from ml.data.dataset_pointers import current_datasets
from ml.data.datasets import read_dataset
from ml.data.feature_tables import read_feature_table
from ml.errors import CandleworksError, DatasetError, StoreError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.execution.costs import Costs, costs_of_dataset
from ml.execution.leases import FOLDER, leases_of
from ml.execution.results import read_results, result_datasets
from ml.forecasting.model_folder import model_seals
from ml.forecasting.model_store import load_model, load_novelty, saved_models
from ml.promotion.review import LiveRecord
from ml.promotion.verdicts import champions
from ml.search.cases import TestCase
from ml.store import Store
from tests.damage.matrix import Reader

#: Commands of the command line that start no server.
COMMANDS = (
    ("models", "--json"),
    ("verdicts", "--json"),
    ("verify", "--json"),
    ("heads", "--json"),
    ("leaderboard", "--json"),
    ("results", "--json"),
    ("results", "--all", "--json"),
    ("forecasts", "--all", "--json"),
    ("status", "--json"),
    ("features", "--json"),
    ("signals", "--json"),
    ("trades", "--json"),
    ("paper", "--json"),
)


def command(config: Path, *words: str) -> Reader:
    """A command in this process."""

    def read(home: Path) -> str:
        output, errors = io.StringIO(), io.StringIO()
        argv = ["candleworks", *words, "--home", str(home), "--config", str(config)]
        with mock.patch.object(sys, "argv", argv), redirect_stdout(output), redirect_stderr(errors):
            try:
                main()
            except SystemExit as end:
                if end.code not in (0, None):
                    raise CandleworksError(output.getvalue() + errors.getvalue()) from None
        sys.stderr.write(errors.getvalue())
        return output.getvalue()

    return Reader(" ".join(words), read)


def store_readers() -> list[Reader]:
    """Readers of the store alone: worker, API, dashboard, and what the flows read of it."""

    def of(name: str, read: Callable[[Store], Any]) -> Reader:
        return Reader(name, lambda home: read(Store(home / "store")))

    return [
        of("load models", _predictions),
        of("champions", lambda store: champions(store, list(current_datasets(store)))),
        of("evaluate a case", _evaluation),
        of("results", lambda store: [sorted(map(str, read_results(store, one))) for one in result_datasets(store)]),
        of("costs", _costs),
        of("leases", _leases),
        of("schema", lambda store: store.require_schema()),
        of("snapshot of the pages", _snapshot),
        of("features of a notebook", _features),
    ]


def _predictions(store: Store) -> list[Any]:
    """The forecast of every model for one window, one after the other: a damaged one does not stop the others."""
    found: list[Any] = []
    for identity in sorted({*saved_models(store), *model_seals(store)}):
        try:
            case, ensemble, scores = load_model(store, identity)
        except StoreError as error:
            sys.stderr.write(f"{error}\n")
            found.append(identity)
            continue
        window = np.random.default_rng(0).lognormal(size=(1, case.lags, len(case.input_columns))).astype(np.float32)
        novelty = load_novelty(store, identity)
        found.append((identity, ensemble.predict(window).tolist(), scores.values.sum(), novelty and novelty.limit))
    return found


def _evaluation(store: Store) -> list[Any]:
    found = []
    for series, dataset_id in sorted(current_datasets(store).items(), key=str):
        dataset = read_dataset(store, dataset_id)
        case = TestCase(series=series, model="ridge", features=dataset.columns[:3], lags=2)
        evaluation, _, _ = fit_and_evaluate(case, dataset)
        found.append((str(series), evaluation.metrics, dataset.columns, dataset.targets))
    return found


def _costs(store: Store) -> list[Any]:
    # New rates only move the borders of chunks; they are those that were measured here.
    found = [costs_of_dataset(store, one, lambda: Costs({})).rates for one in current_datasets(store).values()]
    return [isinstance(rate, float) for rates in found for rate in rates.values()][:1]


def _leases(store: Store) -> list[Any]:
    return [leases_of(store, one) for one in sorted({path.split("/")[1] for path in store.list(FOLDER)})]


def _features(store: Store) -> list[Any]:
    found = []
    for series in sorted(current_datasets(store), key=str):
        try:
            features = read_feature_table(store, series)
            found.append((str(series), features.num_rows, [repr(column) for column in features.columns]))
        except DatasetError as error:
            sys.stderr.write(f"{error}\n")
    return found


def _snapshot(store: Store) -> Any:
    snapshot = newest(store, load_version)
    if snapshot.missing:
        print(f"missing: {snapshot.missing}")  # noqa: T201 - as the pages and /health say
    names = [row[0] for row in snapshot.database.execute("show tables").fetchall()]
    return [snapshot.version, [snapshot.database.execute(f"from {name} order by all").fetchall() for name in names]]


def flow_readers(config: Path) -> list[Reader]:
    """Steps of the flows, without a Prefect server, at the time of the newest load."""

    def of(name: str, read: Callable[[Workspace], Any]) -> Reader:
        def at_home(home: Path) -> Any:
            workspace = Workspace(home, load_settings(config))
            now_ms = _now_ms(workspace)
            with (
                mock.patch("flows.forecasting.forecast.exchange_time_ms", lambda _: now_ms),
                mock.patch("flows.trading.live.exchange_time_ms", lambda _: now_ms),
            ):
                return read(workspace)

        return Reader(name, at_home, warehouse=True)

    return [
        of("load", load_store),
        of("forecast", _forecast_again),
        of("score", score_all),
        of("trade", trade_all),
        of("weigh", weigh_rounds),
        of("publish", lambda place: publish(place)[0]),
        of("datasets", lambda place: (require_datasets(place), sorted(wanted_groups(place)))),
        of("significance", _significance),
        of("promote", _promotions),
        of("stale champions", stale_champions),
        of("rules that are due", _due_rules),
        of("reproduce", _reproduced),
    ]


def _forecast_again(workspace: Workspace) -> Any:
    """The forecasts of the newest candles, as if they had not been made: champions serve."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        load_into(connection, workspace)
        newest_ms = "select max(epoch_ms(target_open_time)) from raw.forecasts"
        last = f"from raw.forecasts where epoch_ms(target_open_time) = ({newest_ms})"
        first = connection.execute(f"select min(sequence) {last}").fetchone()
        gone = connection.execute(
            "select sequence, epoch_ms(target_open_time) from raw.forecasts where sequence >= ?", first
        ).fetchall()
        connection.execute("delete from raw.forecasts where sequence >= ?", first)
    for sequence, _ in gone:
        workspace.store.delete(f"forecasts/{sequence:010d}.json")
    opened_ms = max(opened_ms for _, opened_ms in gone)
    with mock.patch("flows.forecasting.forecast.exchange_time_ms", lambda _: opened_ms + 60_000):
        return forecast_all(workspace)


def _now_ms(workspace: Workspace) -> int:
    """An hour and a minute after the newest load; any time in a home whose loads are gone."""
    return (workspace.last_load_ms() or 0) + 3_600_000 + 60_000


def _significance(workspace: Workspace) -> Any:
    datasets = {series: manifest["id"] for series, manifest in require_datasets(workspace).items()}
    due_datasets(workspace, datasets)
    return [significance_rows(workspace.store, one, []) for one in list(datasets.values())[:1]]


def _promotions(workspace: Workspace) -> Any:
    manifests = require_datasets(workspace)
    trials, spa = trial_counts(workspace), spa_p_values(workspace)
    made = []
    for series, manifest in list(manifests.items())[:2]:
        dataset_id = manifest["id"]
        made.append(promote_series(workspace, series, dataset_id, trials.get(series, 0), 0, spa.get(dataset_id)))
        made.append(review_series(workspace, series, dataset_id, 1, 0, LiveRecord()))
    return made


def _due_rules(workspace: Workspace) -> Any:
    manifests = require_datasets(workspace)
    return {str(series): len(tasks) for series, tasks in due_rules(workspace, manifests, 0).items()}


def _reproduced(workspace: Workspace) -> Any:
    dataset_id = result_datasets(workspace.store)[0]
    row = min(read_results(workspace.store, dataset_id), key=lambda row: row["case_key"])
    # In this process: a process for each cell would take all the time.
    return evaluate_again(workspace.store_url, dataset_id, row["case_json"])
