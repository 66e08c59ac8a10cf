"""The index of a dataset and sets of keys, both compact."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.execution.result_index import read_result_index
from ml.execution.results import RunInfo, result_path, result_row, write_results
from ml.search import keys
from ml.search.keys import KeySet
from ml.store import Store
from tests.synthetic import home_store, make_case

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None)

TESTED = {"status": "tested", "baseline": "drift", "rmse_pct": 1.0, "n_train": 9, "n_validation": 9}
TESTED |= {"loss_day": [1], "loss_model": [1.0], "loss_baseline": [1.0]}


def store_result(store: Store, chunk: str, skill: float | None, minutes: int, lags: int = 1) -> str:
    case = make_case(lags=lags)
    finished = NOON + timedelta(minutes=minutes)
    row = result_row(case, "d", RunInfo("host:1:2.00", NOON, finished, 1.0, 1.0, "code"), "no such feature")
    write_results(store, result_path("d", chunk), [row | ({"skill": skill, **TESTED} if skill else {})])
    return case.key


def test_an_empty_store_knows_nothing(tmp_path: Path) -> None:
    index = read_result_index(Store(tmp_path), "d")
    assert (len(index), index.n_failed, index.find(make_case().key)) == (0, 0, None)


def test_skill_and_failure_of_every_case_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, bad = store_result(store, "a", 0.25, 1), store_result(store, "b", None, 1, lags=2)
    index = read_result_index(store, "d")
    assert index.find(good) == (0.25, False)
    skill, failed = index.find(bad) or (0.0, False)
    assert math.isnan(skill) and failed
    assert (len(index), index.n_failed) == (2, 1)
    assert index.find(make_case(lags=3).key) is None


def test_of_two_results_of_a_case_the_one_that_arrived_first_counts(tmp_path: Path) -> None:
    store = home_store(tmp_path)
    key = store_result(store, "b", 0.1, 3)
    assert len(read_result_index(store, "d")) == 1
    store_result(store, "a", 0.5, 2)
    store_result(store, "c", 0.9, 4)
    index = read_result_index(store, "d")
    assert (len(index), index.find(key)) == (1, (0.1, False))


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=80))
def test_a_set_of_keys_takes_each_one_once(numbers: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "RECENT", 7)
        compact, plain = KeySet(), set[int]()
        for number in numbers:
            assert compact.add(f"{number:016x}") == (number not in plain)
            plain.add(number)
        assert len(compact) == len(plain)
