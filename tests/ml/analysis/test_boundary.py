"""Decision boundaries: a planted one is found, the work is bounded, and odd requests are refused with a remedy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ml.analysis import boundary
from ml.analysis.boundary import SIDE, accuracy_sentence, boundaries, classifier_case
from ml.data.datasets import Dataset
from ml.data.targets import TARGETS
from ml.errors import CaseError
from ml.search.cases import TestCase
from tests.synthetic import SERIES, make_dataset

KEY: Any = {**SERIES.key, "dataset_id": "d"}


def planted(noise_features: int, rows: int = 1500) -> Dataset:
    """The class is the side of a line through two of the features: buy above, sell below, hold near to it."""
    dataset = make_dataset(rows)
    features = np.random.default_rng(0).normal(size=(rows, 2 + noise_features)).astype(np.float32)
    side = features[:, 0] + features[:, 1]
    labels = np.where(np.abs(side) < 0.3, 0.0, np.sign(side))[:, None]
    names = ("har_x", "har_y", *(f"har_{number}" for number in range(noise_features)))
    return dataclasses.replace(
        dataset, columns=names, groups=("har",) * len(names), features=features, labels=labels,
        targets={"trade": TARGETS["trade"].labels}, horizons={"trade": 1},
    )  # fmt: skip


def case_of(dataset: Dataset, **changes: Any) -> TestCase:
    content = {"series": SERIES, "features": dataset.columns, "target": "trade", "model": "logistic"}
    return TestCase(**{**content, **changes})


def test_the_two_planted_features_are_the_axes_and_the_plane_is_decided_as_planted() -> None:
    dataset = planted(6)
    (found,) = boundaries(dataset, case_of(dataset), KEY)
    assert {found.summary["x_feature"], found.summary["y_feature"]} == {"har_x", "har_y"}
    assert found.summary["accuracy"] > found.summary["majority_accuracy"] + 0.2
    assert "better than always" in accuracy_sentence(found.summary)
    cells = {(round(cell["x"], 6), round(cell["y"], 6)): cell for cell in found.cells}
    assert len(cells) == SIDE * SIDE
    sell, buy = 0, 2
    for cell in found.cells:
        side = cell["x"] + cell["y"]
        if side > 1.0:
            assert cell["decided"] == buy
        if side < -1.0:
            assert cell["decided"] == sell
        assert 1 / 3 - 1e-9 <= cell["probability"] <= 1
    corner = max(found.cells, key=lambda cell: cell["x"] + cell["y"])
    middle = min(found.cells, key=lambda cell: abs(cell["x"]) + abs(cell["y"]))
    assert corner["is_sparse"] and not middle["is_sparse"], "train rows are dense in the middle only"


def test_held_out_rows_are_validation_rows_with_their_true_class() -> None:
    dataset = planted(1)
    (found,) = boundaries(dataset, case_of(dataset), KEY)
    times = dataset.open_time_ms
    for point in found.points:
        row = int(np.flatnonzero(times == int(np.datetime64(point["open_time"], "ms").astype(np.int64)))[0])
        assert 0.6 * len(dataset) <= row < 0.8 * len(dataset), "neither learnt from nor of the holdout"
        assert point["happened"] == int(dataset.labels[row, 0]) + 1
        assert point["x"] == pytest.approx(float(dataset.features[row, dataset.places[found.summary["x_feature"]]]))


def test_the_number_of_predicted_rows_does_not_grow_with_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted: list[int] = []
    plain = boundary._Fitted.decide

    def counted(self: Any, inputs: Any) -> Any:
        predicted.append(len(inputs))
        return plain(self, inputs)

    monkeypatch.setattr(boundary._Fitted, "decide", counted)
    sums = []
    for noise in (40, 120):
        dataset = planted(noise)
        boundaries(dataset, case_of(dataset), KEY)
        sums.append(sum(predicted))
        predicted.clear()
    assert sums[0] == sums[1]


def test_a_further_pair_is_drawn_next_to_the_default_one() -> None:
    dataset = planted(2)
    default, further = boundaries(dataset, case_of(dataset), KEY, [("har_0", "har_x")])
    assert (default.summary["is_default"], further.summary["is_default"]) == (True, False)
    assert (further.summary["x_feature"], further.summary["y_feature"]) == ("har_0", "har_x")
    assert further.summary["accuracy"] == default.summary["accuracy"], "it is the same classifier"


def test_odd_pairs_are_refused() -> None:
    dataset = planted(1)
    for pair, message in (
        (("har_x", "rsi_14"), r"logistic does not learn from rsi_14. It learns from: har_0, har_x, har_y"),
        (("har_x", "har_x"), r"Two different features make a plane"),
    ):
        with pytest.raises(CaseError, match=message):
            boundaries(dataset, case_of(dataset), KEY, [pair])
    with pytest.raises(CaseError, match="A plane needs two features"):
        boundaries(dataset, case_of(dataset, features=("har_x",)), KEY)


def test_the_best_classifier_of_the_results_is_drawn_else_a_forest() -> None:
    dataset = planted(1)
    good, bad = case_of(dataset), case_of(dataset, model="naive_bayes")
    results: Any = [
        {
            "model": one.model,
            "status": "tested",
            "skill": skill,
            "case_key": one.key,
            "case_json": one.model_dump_json(),
        }
        for one, skill in ((bad, 0.01), (good, 0.02))
    ]
    broken = {**results[1], "skill": 0.9, "case_json": "{}"}
    regression = {**results[1], "skill": 0.99, "model": "ridge"}
    assert classifier_case(dataset, [*results, broken, regression]) == good
    assert classifier_case(dataset, []).model == "random_forest_classifier"
    with pytest.raises(CaseError, match="Switch the group returns, har or season on"):
        classifier_case(dataclasses.replace(dataset, columns=("a", "b", "c")), [])


def test_events_are_shown_as_happening_or_not() -> None:
    assert boundary.class_names(TARGETS["highlow2"]) == ["no", "high first"]
    assert boundary._numbers(np.array([[1.0, 0.0], [0.0, 1.0]]), TARGETS["highlow2"]).tolist() == [1, 0]


def test_a_classifier_within_its_standard_error_is_no_better() -> None:
    row: Any = {"model": "m", "accuracy": 0.51, "majority_accuracy": 0.5, "accuracy_se": 0.01, "n_held_out": 2500,
                "majority_class": "hold"}  # fmt: skip
    assert accuracy_sentence(row) == "m is right in 51.0% of 2,500 held-out rows, no better than always hold (50.0%)."
    assert "worse than always hold" in accuracy_sentence({**row, "accuracy": 0.4})
    assert ", better than always hold" in accuracy_sentence({**row, "accuracy": 0.6})
