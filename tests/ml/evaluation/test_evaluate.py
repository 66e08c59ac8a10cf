"""Evaluation: no information of the evaluated rows reaches the model, and the metrics are correct."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.data.targets import CLOSE, TARGETS, Target
from ml.errors import CaseError
from ml.evaluation.evaluate import (
    best_baseline,
    evaluate,
    fit_and_evaluate,
    score_predictions,
    setting_of,
)
from ml.evaluation.preparation import prepare
from ml.evaluation.walk_forward import folds_of
from ml.metrics.baselines import BASELINES
from ml.search.cases import WalkForward
from tests.predicting import predict_part
from tests.synthetic import make_case, make_dataset

DAY_MS = 86_400_000


def with_gap(dataset: Dataset, row: int, missing: int = 5) -> Dataset:
    """The dataset as it is exported when `missing` candles before `row` are not there."""
    keep = np.r_[0 : row - missing, row : len(dataset)]
    labels = dataset.labels.copy()
    labels[row - missing - 1] = np.nan
    run_length = dataset.run_length.copy()
    run_length[row:] = np.arange(1, len(dataset) - row + 1)
    return dataclasses.replace(
        dataset,
        features=dataset.features[keep],
        labels=labels[keep],
        candles=dataset.candles[keep],
        open_time_ms=dataset.open_time_ms[keep],
        run_length=run_length[keep],
    )


@pytest.mark.parametrize("lags", [1, 4])
def test_the_scaler_has_the_statistics_of_the_train_rows(lags: int) -> None:
    dataset = make_dataset(1000)
    _, prepared, ensemble = fit_and_evaluate(make_case(lags=lags), dataset)
    # 60 % of 1000 rows less the horizon; har_range starts at row 29, later than the features.
    np.testing.assert_array_equal(prepared.rows("train"), np.arange(29, 599))
    # The fit before the first validation row, 600 + lags, may learn from all labels that are known by then.
    rows = np.arange(29, 599 + lags)
    columns = [dataset.columns.index(name) for name in make_case().features]
    train = dataset.features[rows][:, columns].astype(np.float64)
    np.testing.assert_allclose(ensemble.members[0].scaler.mean, train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(ensemble.members[0].scaler.scale, train.std(axis=0), rtol=1e-12)


def test_windows_end_at_their_row_and_hold_the_columns_of_the_case() -> None:
    dataset = make_dataset(1000)
    prepared = prepare(make_case(features=("range_6", "return_1"), lags=3), dataset)
    window = prepared.windows_at(np.array([500]))[0]
    np.testing.assert_array_equal(window, dataset.features[498:501, 1:])


def test_no_later_change_in_the_holdout_changes_any_figure() -> None:
    dataset = make_dataset(1500)
    case = make_case(lags=3)
    start = prepare(case, dataset).split.validation[1]
    features, labels, candles = dataset.features.copy(), dataset.labels.copy(), dataset.candles.copy()
    # The label of the last validation row describes candle `start`, so rows are changed from there on.
    features[start + 1 :] *= 7
    labels[start:] *= -3
    candles[start + 1 :] *= 2
    changed = dataclasses.replace(dataset, features=features, labels=labels, candles=candles)
    assert dataclasses.asdict(evaluate(case, changed)) == dataclasses.asdict(evaluate(case, dataset))


def test_no_change_of_the_validation_rows_changes_the_model() -> None:
    dataset = make_dataset(1500)
    _, prepared, before = fit_and_evaluate(make_case(), dataset)
    start = prepared.split.validation[0]
    labels = dataset.labels.copy()
    labels[start - 1 :] *= 3  # the candles from the first validation row on
    _, _, after = fit_and_evaluate(make_case(), dataclasses.replace(dataset, labels=labels))
    rows = prepared.rows("validation")
    np.testing.assert_array_equal(before.predict(prepared.windows_at(rows)), after.predict(prepared.windows_at(rows)))


@pytest.mark.parametrize("part", ["validation", "holdout"])
def test_the_last_label_of_a_part_ends_before_the_first_window_of_the_next(part: str) -> None:
    prepared = prepare(make_case(lags=5), make_dataset(1500))
    earlier = prepared.rows({"validation": "train", "holdout": "validation"}[part])
    assert earlier[-1] + 1 < prepared.rows(part)[0] - (5 - 1)


def test_a_random_walk_gives_no_skill_beyond_noise() -> None:
    evaluations = [evaluate(make_case(), make_dataset(3000, seed=seed, clustered=False)) for seed in range(12)]
    skills = np.array([one.metrics["skill"] for one in evaluations])
    closes = np.array([one.metrics["skill_close"] for one in evaluations])
    # Three useless weights a label cost about 3 / 1800 of the squared error, half of that of the error: -0.0008.
    for values in (skills, closes):
        assert values.mean() < 2 * values.std(ddof=1) / np.sqrt(len(values))
        assert np.abs(values).max() < 0.01


def test_a_planted_edge_gives_skill_on_the_close() -> None:
    metrics = evaluate(make_case(), make_dataset(3000, clustered=False, edge=0.5)).metrics
    # return t + 1 = 0.5 return t + noise: variance 1 / (1 - 0.25), of which 1 is left: error sqrt(0.75), skill 0.134.
    assert metrics["skill_close"] == pytest.approx(0.134, abs=0.05)
    assert metrics["skill"] > 0.05
    assert metrics["direction_accuracy"] - 0.5 > 5 * metrics["direction_se"]


def test_a_gap_makes_every_window_that_touches_it_unusable() -> None:
    dataset = make_dataset(1000)
    row, lags = 300, 4
    prepared = prepare(make_case(lags=lags), with_gap(dataset, row))
    # The gap's first row afterwards is 295; windows of 4 rows that end at 295..297 reach across it, and row 294 has no
    # next candle.
    unusable = set(range(200, 400)) - set(prepared.rows("train"))
    assert unusable == {294, 295, 296, 297}


def test_an_unknown_feature_makes_every_window_with_it_unusable() -> None:
    dataset = make_dataset(1000)
    features = dataset.features.copy()
    features[300, 1] = np.nan
    changed = dataclasses.replace(dataset, features=features)
    unusable = set(range(200, 400)) - set(prepare(make_case(lags=3), changed).rows("train"))
    assert unusable == {300, 301, 302}
    without_it = prepare(make_case(features=("range_24", "return_1"), lags=3), changed)
    assert set(range(200, 400)) <= set(without_it.rows("train"))


def moved(dataset: Dataset, step: float) -> Dataset:
    """The same labels, whose close moves by so much more a candle."""
    labels = dataset.labels.copy()
    labels[:, CLOSE] += step
    return dataclasses.replace(dataset, labels=labels)


def half_risen(dataset: Dataset) -> Dataset:
    """Closes that rise in the first half of the train rows only: the mean fits all of them best, and tells nothing."""
    labels = dataset.labels.copy()
    train = prepare(make_case(), dataset).split.train
    halves = np.array_split(labels[slice(*train), CLOSE], 2)
    labels[slice(*train), CLOSE] = np.concatenate([halves[0] - halves[0].mean() + 0.002, halves[1] - halves[1].mean()])
    return dataclasses.replace(dataset, labels=labels)


def test_drift_is_the_baseline_where_the_close_drifts_and_not_where_it_only_wandered() -> None:
    dataset = make_dataset(1500, clustered=False)

    assert best_baseline(prepare(make_case(), half_risen(dataset))) != "drift"
    assert best_baseline(prepare(make_case(), moved(dataset, 0.02))) == "drift"


def test_the_baseline_is_chosen_on_the_train_rows_only() -> None:
    calm, wild = half_risen(make_dataset(1500, clustered=False)), make_dataset(1500)
    cut = prepare(make_case(), calm).split.train[1]
    assert (best_baseline(prepare(make_case(), calm)), best_baseline(prepare(make_case(), wild))) == (
        "mean_range",
        "pooled_range",
    )
    # Constant ranges at first, clustered ones in the evaluated rows: there others are better, yet are not chosen.
    labels = np.concatenate([calm.labels[:cut], wild.labels[cut:]])
    mixed = dataclasses.replace(calm, labels=labels)
    prepared = prepare(make_case(), mixed)
    rows = prepared.rows("validation")
    train = prepared.rows("train")
    errors = {name: prepared.scorer.error(prepared.scorer.forecast(name, rows, train), rows) for name in BASELINES}
    assert min(errors, key=errors.__getitem__) != "mean_range"
    assert best_baseline(prepared) == "mean_range"
    assert evaluate(make_case(), mixed).baseline == "mean_range"


def test_the_ewma_baseline_equals_a_plain_loop() -> None:
    dataset = make_dataset(1500)
    prepared = prepare(make_case(), dataset)
    rows = prepared.rows("validation")
    high = low = 0.0
    expected = np.zeros((len(dataset), 3))
    for t in range(1, len(dataset)):
        # Row t knows the candle of row t itself, which is label t - 1.
        known = dataset.labels[t - 1]
        high, low = (
            (known[0], known[1]) if t == 1 else (high + 2 / 7 * (known[0] - high), low + 2 / 7 * (known[1] - low))
        )
        expected[t, :2] = high, low
    np.testing.assert_allclose(prepared.scorer.forecast("ewma_range", rows, rows[:0]), expected[rows], rtol=1e-12)
    np.testing.assert_allclose(prepared.scale[rows], expected[rows, 0] - expected[rows, 1], rtol=1e-12)
    squared = [(np.exp(e) - np.exp(a)) ** 2 for e, a in zip(expected[rows], dataset.labels[rows], strict=True)]
    evaluation = evaluate(make_case(), dataset)
    theirs = evaluation.metrics["rmse_pct"] / (1 - evaluation.metrics["skill_ewma_range"])
    assert theirs == pytest.approx(100 * np.mean(squared) ** 0.5, rel=1e-12)


def test_losses_are_aligned_by_day_and_their_mean_is_the_error() -> None:
    dataset = make_dataset(1500)
    evaluation, prepared, _ = fit_and_evaluate(make_case(), dataset)
    rows = prepared.rows("validation")
    # A loss belongs to the day of the candle that is forecast, one candle after the row.
    candles_a_day = np.bincount((dataset.open_time_ms[rows] + 3_600_000) // DAY_MS - evaluation.days[0])
    assert evaluation.days == list(range(evaluation.days[0], evaluation.days[-1] + 1))
    assert evaluation.n_validation == len(rows) == candles_a_day.sum()
    for losses, error in (
        (evaluation.losses, evaluation.metrics["rmse_pct"]),
        (evaluation.baseline_losses, evaluation.metrics["baseline_rmse_pct"]),
    ):
        assert np.average(losses, weights=candles_a_day) ** 0.5 == pytest.approx(error, rel=1e-12)


def test_a_target_further_ahead_keeps_its_distance_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "third_candle", Target(("h", "l", "c"), horizon=3, available_at="known"))
    dataset = make_dataset(1000)
    later = np.full((1000, 3), np.nan)
    later[:-3] = dataset.labels[:-3] * 2
    targets = {**dataset.targets, "third_candle": TARGETS["third_candle"].labels}
    both = dataclasses.replace(dataset, labels=np.hstack([dataset.labels, later]), targets=targets)
    case = make_case(target="third_candle", lags=2)
    prepared = prepare(case, both)
    np.testing.assert_array_equal(prepared.labels, later)
    # Train ends at 600 - 3; the windows of two evaluated rows begin after the last label's candle, 596 + 3.
    assert prepared.rows("train")[-1] == 596
    assert prepared.rows("validation")[0] - 1 > 596 + 3
    # Row t knows the labels up to row t - 3, and so does its scale.
    changed = later.copy()
    changed[500:] *= 5
    after = prepare(case, dataclasses.replace(both, labels=np.hstack([dataset.labels, changed])))
    np.testing.assert_array_equal(after.scale[:503], prepared.scale[:503])
    assert after.scale[503] != prepared.scale[503]
    # A loss belongs to the day of the candle three hours later.
    first_row = prepared.rows("validation")[0]
    assert evaluate(case, both).days[0] == (dataset.open_time_ms[first_row] + 3 * 3_600_000) // DAY_MS


def test_spans_are_the_open_times_of_the_first_and_last_rows() -> None:
    dataset = make_dataset(1000)
    evaluation = evaluate(make_case(), dataset)
    assert evaluation.n_train == 600 - 29
    times = {"train_start": 29, "train_end": 599, "validation_start": 601, "validation_end": 798}
    assert evaluation.spans == {name: int(dataset.open_time_ms[row]) for name, row in times.items()}


def test_figures_are_means_over_the_seeds() -> None:
    params = {"trees": 5, "leaves": 4}
    evaluation = evaluate(make_case(model="lightgbm", params=params, seeds=(1, 2)), make_dataset(1000))
    skills = [one["skill"] for one in evaluation.per_seed]
    assert skills[0] != skills[1]
    assert evaluation.metrics["skill"] == pytest.approx(sum(skills) / 2)
    assert evaluation.metrics["skill_seed_std"] == pytest.approx(abs(skills[0] - skills[1]) / 2)


def test_the_truth_itself_has_skill_1_against_every_baseline() -> None:
    dataset = make_dataset(1000)
    _, prepared, ensemble = fit_and_evaluate(make_case(), dataset)
    predictions = predict_part(prepared, ensemble, "validation", earlier="train")
    truth = prepared.scorer.scored(predictions.rows, dataset.labels[predictions.rows])
    perfect = dataclasses.replace(predictions, own=truth)
    figures = score_predictions(prepared, perfect, "ewma_range")
    assert {name: value for name, value in figures.items() if name.startswith("skill")} == dict.fromkeys(
        ("skill", *(f"skill_{name}" for name in (*BASELINES, "high", "low", "close"))), 1.0
    )
    assert (figures["rmse_pct"], figures["rmse_quote"], figures["mae_pct"], figures["direction_accuracy"]) == (
        0,
        0,
        0,
        1,
    )


def test_the_interval_covers_about_80_percent_of_the_validation_and_holdout_rows() -> None:
    _, prepared, ensemble = fit_and_evaluate(make_case(), make_dataset(6000))
    for part, earlier in (("validation", "train"), ("holdout", "validation")):
        figures = score_predictions(prepared, predict_part(prepared, ensemble, part, earlier), "ewma_range")
        # 1,200 rows: the standard error of the share is 1.2 %.
        assert figures["band_coverage"] == pytest.approx(0.8, abs=0.05)


def test_a_feature_that_the_dataset_lacks_is_named() -> None:
    with pytest.raises(CaseError, match="lacks moon_phase"):
        evaluate(make_case(features=("moon_phase", "range_6")), make_dataset(1000))


@pytest.mark.parametrize(("rows", "part"), [(180, "train"), (300, "validation")])
def test_too_few_usable_rows_are_refused(rows: int, part: str) -> None:
    with pytest.raises(CaseError, match=f"usable {part} rows"):
        evaluate(make_case(), make_dataset(rows))


def test_the_skill_against_every_rival_is_kept_on_the_rows_that_it_can_forecast() -> None:
    dataset = make_dataset(1500)
    _, prepared, ensemble = fit_and_evaluate(make_case(), dataset)
    rows, train = prepared.rows("validation"), folds_of(prepared)[0].baseline
    metrics = evaluate(make_case(), dataset).metrics
    error = prepared.scorer.error(ensemble.predict(prepared.windows_at(rows)), rows)
    for name in BASELINES:
        theirs = prepared.scorer.error(prepared.scorer.forecast(name, rows, train), rows)
        assert metrics[f"skill_{name}"] == pytest.approx(1 - error / theirs, rel=1e-12), name
    # Three months without candles before the validation rows: the regression lacks the past for the first of them. In
    # the first version of the evaluation they are evaluated, now they are not.
    later = dataset.open_time_ms + 90 * DAY_MS * (np.arange(1500) >= rows[0])
    broken = dataclasses.replace(dataset, open_time_ms=later)
    known = np.arange(rows[0] + 29, rows[-1] + 1)
    first, first_case, model = fit_and_evaluate(make_case(evaluation=None), broken)
    theirs = first_case.scorer.forecast("har_range", rows, first_case.rows("train"))
    assert np.isfinite(theirs).all(axis=1).sum() == len(known)
    ours = prepared.scorer.error(model.predict(prepared.windows_at(known)), known)
    skill = 1 - ours / prepared.scorer.error(theirs[29:], known)
    assert first.metrics["skill_har_range"] == pytest.approx(skill, rel=1e-9)
    assert (first.n_validation, evaluate(make_case(), broken).n_validation) == (len(rows), len(known))


def test_a_case_has_the_same_result_whether_or_not_cases_with_its_rows_came_before() -> None:
    dataset = make_dataset(1500)
    features = dataset.features.copy()
    features[700:760, dataset.columns.index("return_1")] = np.nan
    dataset = dataclasses.replace(dataset, features=features)
    cases = [make_case(), make_case(features=("range_6",)), make_case(features=("range_6",), params={"alpha": 9.0})]
    cases += [make_case(train_rows=300), make_case(train_fraction=0.5)]
    cases += [make_case(walk_forward=WalkForward(refit_every=100))]
    for case in (*cases, *cases):
        alone = evaluate(case, dataclasses.replace(dataset))
        assert dataclasses.asdict(evaluate(case, dataset)) == dataclasses.asdict(alone)
    settings = [setting_of(prepare(case, dataset)) for case in cases]
    # The second and the third differ in a parameter only.
    assert settings[1] is settings[2]
    assert len({id(setting) for setting in settings}) == len(cases) - 1
