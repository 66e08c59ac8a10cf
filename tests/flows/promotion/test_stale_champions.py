"""A champion that learnt from columns as they were computed before: found, evaluated again, nothing mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from flows.promotion.steps import stale_champions
from flows.settings import load_settings
from flows.warehouse.export import _available_at, _require_horizons, current_dataset, wanted_fingerprints
from flows.warehouse.fingerprints import stored_fingerprints
from flows.workspace.workspace import Workspace
from ml.data.datasets import Dataset, changed_columns, read_dataset, read_manifest, write_dataset
from ml.errors import CaseError
from ml.execution.chunks import run_case
from ml.forecasting.chain import Chain
from ml.forecasting.model_store import read_card
from ml.promotion.gate import decide_promotion
from ml.promotion.review import LiveRecord, review_champion
from ml.promotion.rules import PromotionContext
from ml.series import Series
from ml.store import Store
from tests.trials import GOOD, REAL, market_with_edge, result

LABELS = ("label_high", "label_low", "label_close")


def stamped(market: Dataset, **changes: str) -> Dataset:
    """The market with fingerprints: v1 for every column but those that changed."""
    names = (*market.columns, *LABELS, "candles.open", "candles.close")
    return replace(market, fingerprints={**dict.fromkeys(names, "v1"), **changes})


@pytest.fixture(scope="module")
def market() -> Dataset:
    return market_with_edge()


def point(workspace: Workspace, dataset: Dataset) -> Dataset:
    """Export a dataset as the newest of its series."""
    dataset_id = write_dataset(workspace.store, dataset, "code")
    path = f"datasets/current/{dataset.series.slug}.json"
    pointer = f'{{"dataset_id": "{dataset_id}", "through_ms": 0, "since_load_id": 0}}'
    workspace.store.replace(path, pointer.encode())
    return read_dataset(workspace.store, dataset_id)


@pytest.fixture
def workspace(tmp_path: Path, market: Dataset) -> Workspace:
    series = market.series
    settings = load_settings(
        None,
        {
            "exchange": {"id": series.exchange},
            "markets": {"symbols": [series.symbol], "timeframes": [series.timeframe]},
        },
    )
    return Workspace(tmp_path, settings)


def test_a_dataset_knows_what_its_columns_were_computed_by(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    first, other = stamped(market), stamped(market, return_1="v2")
    assert len({market.identity(), first.identity(), other.identity(), stamped(market).identity()}) == 3
    back = read_dataset(store, write_dataset(store, other, "code"))
    assert back.fingerprints == other.fingerprints == read_manifest(store, back.id)["fingerprints"]
    lineage = first.lineage(GOOD.lineage_columns)
    assert lineage.keys() == {*GOOD.features, *LABELS}
    assert changed_columns(lineage, other.fingerprints, lineage) == ["return_1"]
    assert changed_columns(lineage, {}, lineage) == list(lineage)  # gone is changed
    assert changed_columns({}, other.fingerprints, GOOD.lineage_columns) == []  # not noted is not known


def test_results_say_what_their_columns_were_computed_by(market: Dataset) -> None:
    rows = [
        run_case(GOOD, dataset, "w", "code")["lineage"]
        for dataset in (stamped(market), stamped(market, **{"candles.open": "v2"}), stamped(market, label_high="v2"))
    ]
    assert rows[0] == rows[1] != rows[2]  # it does not look at the opening price
    assert run_case(GOOD, market, "w", "code")["lineage"] is None


def test_a_champion_of_other_formulas_is_stale_until_a_review_refits_it(workspace: Workspace, market: Dataset) -> None:
    store = workspace.store
    first = point(workspace, stamped(market))
    verdict = decide_promotion(store, first, result(GOOD, first, store), None, REAL)
    body = {**market.series.model_dump(), "decision": "promoted", "case_key": GOOD.key, "model_id": verdict.model_id}
    Chain(store, "verdicts").append(body)
    assert read_card(store, str(verdict.model_id))["lineage"] == first.lineage(GOOD.lineage_columns)
    assert stale_champions(workspace) == []
    point(workspace, stamped(market, **{"candles.open": "v2"}))
    assert stale_champions(workspace) == []
    edited = point(workspace, stamped(market, return_1="v2"))
    assert stale_champions(workspace) == [market.series]
    champion = body | {"frozen_model_id": verdict.frozen_model_id, "model_ids": [verdict.model_id]}
    settings = workspace.settings.promotion
    again = review_champion(store, edited, champion, LiveRecord(), settings, PromotionContext(now_ms=0, n_trials=1))
    Chain(store, "verdicts").append(again)
    assert again["decision"] == "confirmed", again["reason"]
    assert stale_champions(workspace) == []


def test_of_an_older_version_nothing_is_known(workspace: Workspace, market: Dataset) -> None:
    store = workspace.store
    plain = point(workspace, market)
    verdict = decide_promotion(store, plain, result(GOOD, plain, store), None, REAL)
    body = {**market.series.model_dump(), "decision": "promoted", "case_key": GOOD.key, "model_id": verdict.model_id}
    Chain(store, "verdicts").append(body)
    point(workspace, stamped(market))
    assert current_dataset(store, market.series) is not None
    assert stale_champions(workspace) == []


def test_fingerprints_are_those_of_features_labels_and_candles() -> None:
    connection = duckdb.connect()
    for table in (
        "int_features__a (x int, candle_id int)",
        "fct_labels (label_high int)",
        "fct_candles (open int)",
        "z (x int)",
    ):
        connection.execute(f"create table {table}")
    for column, value in {
        "int_features__a.x": "fingerprint 1",
        "fct_labels.label_high": "fingerprint 2",
        "fct_candles.open": "fingerprint 3",
        "z.x": "fingerprint 4",
        "int_features__a.candle_id": "a remark",
    }.items():
        connection.execute(f"comment on column {column} is '{value}'")
    stored = stored_fingerprints(connection)
    assert stored == {"x": "1", "label_high": "2", "candles.open": "3"}
    series = Series(exchange="e", symbol="A/B", timeframe="1h")
    assert wanted_fingerprints(stored, series, []) == {"label_high": "2", "candles.open": "3"}
    assert wanted_fingerprints(stored, series, ["x", "y"])["x"] == "1"


@pytest.mark.parametrize(("hours_ahead", "leaks"), [(30, False), (31, True), (5, False)])
def test_labels_that_look_further_than_their_target_says_are_not_exported(hours_ahead: int, leaks: bool) -> None:
    ahead = {"label": 1, "summary": hours_ahead, "highlow2": 24, "topbot2": 48, "trade": 1}
    opened = 1_704_067_200_000 + 3_600_000 * np.arange(9)
    last_unknown = np.arange(9) == 8
    times = {
        f"{name}_available_at": np.ma.array(opened + 3_600_000 * (hours + 1), mask=last_unknown)
        for name, hours in ahead.items()
    }
    series = Series(exchange="e", symbol="A/B", timeframe="1h")
    known = {target: times[column] for target, column in _available_at(series).items()}
    if not leaks:
        _require_horizons(series, opened, known)
        return
    with pytest.raises(CaseError, match=r"horizon_summary_30 look 31 candles ahead, its horizon .* is 30: train rows"):
        _require_horizons(series, opened, known)
