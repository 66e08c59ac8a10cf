"""Cases in units of the range, and cases that learn from all markets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from ml.data.datasets import Dataset, Panel, write_dataset
from ml.errors import CaseError, DatasetError, PredictionError
from ml.evaluation.evaluate import evaluate, fit_rows
from ml.evaluation.forecaster import Scaler
from ml.evaluation.learning import rows_to_learn
from ml.evaluation.preparation import prepare
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.grouping import fit_together, groups_of
from ml.execution.results import result_files
from ml.forecasting.contributions import explain
from ml.forecasting.model_store import load_model, load_novelty, save_model
from ml.forecasting.novelty import novelty_of
from ml.metrics.conformal import BandScores
from ml.search.case_ranges import CaseRange, enumerate_cases
from ml.search.cases import TestCase, ensemble_of
from ml.series import Series
from ml.store import Store
from tests.synthetic import HOUR_MS, make_case, make_dataset, make_space

COLUMNS = ("har_range_24", "har_range_6", "log_return_1")
CATALOGUE = {"har_range_6": "har", "har_range_24": "har", "log_return_1": "returns"}


def market(rows: int = 1500, seed: int = 1, symbol: str = "BTC/USDT", start: int = 0) -> Dataset:
    """A market that begins `start` candles after the first one."""
    made = make_dataset(rows, seed)
    series = Series(exchange="test", symbol=symbol, timeframe="1h")
    times = made.open_time_ms + start * HOUR_MS
    return replace(made, series=series, columns=COLUMNS, open_time_ms=times, id=f"{symbol} {seed}")


def with_panel(dataset: Dataset, *others: Dataset) -> Dataset:
    return replace(dataset, panel=Panel({one.series.symbol: lambda one=one: one for one in others}))  # type: ignore[misc]


def in_units(**changes: object) -> TestCase:
    return make_case(**{"features": COLUMNS, "unit": "har_range_6", **changes})


def louder(dataset: Dataset, factor: float) -> Dataset:
    """The market with all logarithmic moves times a factor."""
    moves = np.log(dataset.candles[:, :4] / dataset.candles[0, 0])
    candles = np.column_stack([np.exp(factor * moves), dataset.candles[:, 4]])
    return replace(
        dataset,
        candles=candles,
        features=dataset.features * np.float32(factor),
        labels=dataset.labels * factor,
        id=f"{dataset.id} x {factor}",
    )


def test_labels_and_logarithmic_inputs_are_divided_and_the_errors_weigh_as_in_log_units() -> None:
    dataset, case = market(), in_units(weights="inverse_scale", params={"alpha": 1.0})
    prepared = prepare(case, dataset)
    rows = prepared.rows("train")
    unit = dataset.features[rows, 1].astype(float)[:, None]
    ratios = (dataset.features[rows] / unit.astype(np.float32))[:, None, :]
    weights = unit[:, 0] ** 2 / prepared.scale[rows]
    scaler = Scaler.of(ratios)
    plain = Ridge(alpha=1e-3 * len(rows)).fit(
        scaler.transform(ratios)[:, 0].astype(float), dataset.labels[rows] / unit, weights / weights.mean()
    )
    shown = prepared.windows_at(prepared.rows("validation"))
    size = shown[:, -1, 1].astype(float)[:, None]
    ready = scaler.transform(shown / size.astype(np.float32)[:, :, None])[:, 0].astype(float)
    (member,) = fit_rows(prepared, rows).members
    np.testing.assert_allclose(member.predict(shown), plain.predict(ready) * size, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("model", ["ridge", "lightgbm", "extra_trees"])
def test_a_market_with_twice_the_volatility_has_twice_the_forecast(model: str) -> None:
    case = in_units(model=model, weights="inverse_scale", seeds=(0,))
    quiet, loud = (prepare(case, one) for one in (market(), louder(market(), 2.0)))
    rows = quiet.rows("train")
    shown = quiet.rows("validation")
    expected = fit_rows(quiet, rows).predict(quiet.windows_at(shown))
    found = fit_rows(loud, rows).predict(loud.windows_at(shown))
    np.testing.assert_allclose(found, 2 * expected, rtol=1e-4, atol=1e-6)


def test_it_learns_from_the_candles_of_the_other_markets_by_then_and_from_no_later_one() -> None:
    own, other = market(), market(4000, 2, "ETH/USDT", start=-2000)
    case = in_units(pool="all")
    prepared = prepare(case, with_panel(own, other))
    rows = prepared.rows("train")
    learnt, until = rows_to_learn(prepared, rows), own.open_time_ms[rows[-1]]
    known = prepare(case, other).usable & (other.open_time_ms <= until)
    assert len(learnt[0]) == len(learnt[1]) == len(rows) + known.sum()
    expected = fit_rows(prepared, rows).predict(prepared.windows_at(rows[:5]))

    def refitted(changed: np.ndarray) -> np.ndarray:
        labels = np.where(changed[:, None], 0.5, other.labels)
        again = prepare(case, with_panel(own, replace(other, labels=labels)))
        return fit_rows(again, rows).predict(again.windows_at(rows[:5]))

    np.testing.assert_array_equal(refitted(other.open_time_ms > until), expected)
    assert not np.allclose(refitted(other.open_time_ms == until), expected, rtol=1e-9, atol=0)


def test_rows_to_learn_are_in_time_order_and_each_market_has_the_same_weight_per_row() -> None:
    own, other = market(), louder(market(1500, 2, "ETH/USDT", start=100), 5.0)
    prepared = prepare(in_units(pool="all", weights="inverse_scale"), with_panel(own, other))
    rows = prepared.rows("train")
    windows, _, weights = rows_to_learn(prepared, rows)
    assert weights is not None
    theirs = windows[:, -1, 1] > 3 * np.median(prepared.windows_at(rows)[:, -1, 1])
    assert weights.mean() == pytest.approx(1)
    assert 0.5 < weights[theirs].mean() < 2
    apart = prepare(in_units(pool="all", train_rows=300), with_panel(own, other))
    latest = apart.rows("train")
    assert 300 < len(rows_to_learn(apart, latest)[0]) <= 600


def test_a_market_of_a_few_candles_is_left_out_and_one_without_the_columns_is_an_error() -> None:
    own = market()
    case = in_units(pool="all")
    alone, few = (prepare(case, with_panel(own, *others)) for others in ([], [market(3, 2, "ETH/USDT")]))
    rows = alone.rows("train")
    assert len(rows_to_learn(few, rows)[0]) == len(rows_to_learn(alone, rows)[0]) == len(rows)
    lacking = prepare(case, with_panel(own, make_dataset(1500, 2)))
    with pytest.raises(CaseError, match=r"lacks har_range_24, .* Run `candleworks export` again"):
        rows_to_learn(lacking, rows)


def test_grouped_fits_equal_single_ones() -> None:
    own, other = market(), market(2500, 2, "ETH/USDT", start=-900)
    dataset = with_panel(own, other)
    cases = [
        in_units(pool=pool, weights="inverse_scale", params={"alpha": alpha}, features=features)
        for pool in (None, "all")
        for alpha in (1.0, 100.0)
        for features in (COLUMNS, COLUMNS[:2])
    ]
    groups = groups_of(cases, dataset)
    assert sorted(map(len, groups)) == [4, 4]
    for group in groups:
        together = fit_together(group, dataset)
        for case in group:
            grouped, alone = evaluate(case, dataset, together.fit, together.predict), evaluate(case, dataset)
            assert grouped.metrics == pytest.approx(alone.metrics, rel=1e-9, nan_ok=True)


def test_cases_whose_rows_differ_in_another_market_are_not_grouped() -> None:
    other = market(2500, 2, "ETH/USDT")
    features = other.features.copy()
    features[100:120, 2] = np.nan
    dataset = with_panel(market(), replace(other, features=features))
    cases = [in_units(pool="all", features=columns) for columns in (COLUMNS, COLUMNS[:2])]
    assert list(map(len, groups_of(cases, dataset))) == [1, 1]


def test_rows_without_a_range_are_not_used_and_not_predicted() -> None:
    dataset = market()
    features = dataset.features.copy()
    features[200:210, 1] = 0
    prepared = prepare(in_units(), replace(dataset, features=features))
    assert not prepared.usable[200:210].any()
    ensemble = fit_rows(prepared, prepared.rows("train"))
    with pytest.raises(PredictionError, match="har_range_6, the unit of this case, is 0"):
        ensemble.predict(prepared.windows_at(np.array([205])))


def test_a_saved_model_predicts_the_same_and_its_contributions_add_up(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), with_panel(market(), market(1500, 2, "ETH/USDT"))
    members = [in_units(pool="all"), in_units(model="lightgbm"), make_case(features=COLUMNS)]
    for case in (members[0], ensemble_of(members)):
        prepared = prepare(case, dataset)
        rows = prepared.rows("train")
        ensemble, novelty = fit_rows(prepared, rows), novelty_of(prepared, rows)
        save_model(store, case.key, case, ensemble, BandScores(np.zeros(60), None), {}, novelty)
        again, window = load_model(store, case.key)[1], prepared.windows_at(prepared.rows("holdout")[:1])
        np.testing.assert_array_equal(again.predict(window), ensemble.predict(window))
        found = explain(again, window, case.input_columns)
        assert found is not None
        parts = [one["labels"] for one in found["inputs"]] + [found["others"], found["base"], found["coherence"]]
        np.testing.assert_allclose(np.sum(parts, axis=0), again.predict(window)[0], atol=1e-9)
        loaded = load_novelty(store, case.key)
        assert novelty is not None and loaded is not None
        assert loaded.of_window(window) == novelty.of_window(window)


def test_novelty_of_ratios_does_not_grow_with_the_level_of_volatility() -> None:
    prepared = prepare(in_units(), market())
    novelty = novelty_of(prepared, prepared.rows("train"))
    raw = prepare(make_case(features=COLUMNS), market())
    assert novelty is not None
    window = prepared.windows_at(prepared.rows("holdout")[:1])
    assert novelty.of_window(20 * window) == pytest.approx(novelty.of_window(window), rel=1e-5)
    of_levels = novelty_of(raw, raw.rows("train"))
    assert of_levels is not None
    assert of_levels.of_window(20 * window) > 1


def test_a_stored_dataset_names_the_others_of_its_export_and_a_worker_learns_from_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = write_dataset(store, market(1500, 2, "ETH/USDT"), "code")
    dataset_id = write_dataset(store, market(), "code", {"ETH/USDT": other})
    case = in_units(pool="all")
    rows = run_chunk(store, Chunk(dataset_id, (case,)), lease_seconds=60, code_version="code")
    assert rows is not None
    expected = evaluate(case, with_panel(market(), market(1500, 2, "ETH/USDT"))).metrics["skill"]
    assert rows[0]["skill"] == pytest.approx(expected, rel=1e-12)
    # The panel is fixed when a dataset is first written: results on it stay reproducible.
    assert write_dataset(store, market(), "code", {}) == dataset_id
    assert evaluate(case, with_panel(market())).metrics["skill"] != pytest.approx(expected, rel=1e-9)


def test_no_result_is_recorded_where_the_dataset_of_another_market_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dataset_id = write_dataset(store, market(), "code", {"ETH/USDT": "gone"})
    pooled = Chunk(dataset_id, (in_units(pool="all"),))
    with pytest.raises(DatasetError, match=r"No dataset gone .* Run `candleworks export`"):
        run_chunk(store, pooled, lease_seconds=60, code_version="code")
    assert result_files(store) == []
    assert run_chunk(store, Chunk(dataset_id, (in_units(),)), lease_seconds=60, code_version="code") is not None


def test_a_case_without_unit_and_pool_keeps_its_key() -> None:
    content = make_case().content()
    assert "unit" not in content and "pool" not in content
    keys = {make_case(features=COLUMNS).key, in_units().key, in_units(pool="all").key}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "har_range_3"}, "The unit har_range_3 is not among the features"),
        ({"unit": "log_return_1"}, "log_return_1 is no unit"),
        ({"pool": "all", "unit": None}, "Only ratios can be pooled over markets"),
        ({"model": "last_candle", "features": ()}, "log units only"),
    ],
)
def test_impossible_units_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        in_units(**changes)


def test_a_search_space_pools_only_where_there_are_other_markets() -> None:
    space = make_space(groups={"har": "on"}, unit="har_range_6", pool=["none", "all"])
    series = market().series
    cases = [case for _, case in CaseRange(space, series, CATALOGUE, has_panel=True).numbered()]
    assert [(case.unit, case.pool) for case in cases] == [("har_range_6", None), ("har_range_6", "all")]
    assert [case.feature_set for case in cases] == ["har, in har_range_6", "har, in har_range_6, all markets"]
    assert [case.pool for case in enumerate_cases([space], [series], CATALOGUE)] == [None]
    only = make_space(groups={"har": "on"}, unit="har_range_6", pool="all")
    assert [case.pool for case in enumerate_cases([only], [series], CATALOGUE)] == [None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "har_range_7", "groups": {"har": "on"}}, "Unknown column 'har_range_7'. Did you mean"),
        ({"unit": "har_range_6", "groups": {"har": "both"}}, "it has to be on in every case, was both"),
        ({"unit": "har_range_6", "groups": {"returns": "on"}}, "it has to be on in every case, was off"),
    ],
)
def test_a_search_space_with_a_wrong_unit_is_refused_before_any_work(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        CaseRange(make_space(**changes), market().series, CATALOGUE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": ["none", "har_range_6"], "pool": "all"}, "only ratios can be pooled"),
        ({"unit": []}, "a column of mean ranges"),
        ({"unit": "rsi_14"}, "rsi_14 is no unit"),
        ({"pool": "some"}, "Input should be 'none' or 'all'"),
    ],
)
def test_a_search_space_with_a_wrong_pool_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_space(groups={"har": "on"}, **changes)
