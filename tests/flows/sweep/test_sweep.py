"""Sweeps over search spaces of any size: begun at once, counted, resumed, halved."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from flows.sweep.sweep import Round, Sweep, build_sweep
from ml.data.datasets import read_manifest, write_dataset
from ml.errors import CaseError, StoreError
from ml.execution.chunks import Chunk, chunk_path, read_chunk, run_chunk, write_chunk
from ml.execution.results import read_results
from ml.search.case_ranges import enumerate_cases
from ml.search.spaces import SearchSpace
from ml.store import Store
from tests.synthetic import FEATURES, SERIES, make_dataset, make_space

COLUMNS = dict(zip(FEATURES, ("range", "range", "returns"), strict=True))
KINDS = {"linear", "tree", "neural"}


class Home:
    """A store with one dataset, and sweeps over it that are run in this process."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.manifest = read_manifest(self.store, write_dataset(self.store, make_dataset(800), "code"))

    def sweep(self, *spaces: SearchSpace, chunk_seconds: float = 90.0) -> Sweep:
        datasets = {SERIES: self.manifest}
        return build_sweep(self.store, list(spaces), datasets, COLUMNS, chunk_seconds=chunk_seconds, processes=2)

    def do(self, plan: Round, limit: int | None = None) -> int:
        """Do the open chunks; returns how many cases were done."""
        chunks = itertools.islice(plan.chunks(KINDS), limit)
        rows = [run_chunk(self.store, chunk, lease_seconds=60, code_version="code") for chunk in chunks]
        return sum(len(done or []) for done in rows)

    def record(self, plan: Round) -> dict[str, Any]:
        return plan.counts[self.manifest["id"]].record()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def space(**changes: object) -> SearchSpace:
    return make_space(**{"groups": {"range": "on", "returns": "both"}, "lags": (1, 2, 3), **changes})


def test_a_sweep_does_what_is_missing_and_again_nothing(home: Home) -> None:
    sweep = home.sweep(space(params={"alpha": (1.0, 2.0)}))
    assert home.record(sweep.round())["cases_total"] == 12
    assert home.do(sweep.round()) == 12
    assert home.do(sweep.round()) == 0
    larger = home.sweep(space(params={"alpha": (1.0, 2.0, 3.0)}))
    assert home.do(larger.round()) == 6
    assert len(read_results(home.store, home.manifest["id"])) == 18


def test_a_case_that_stands_in_two_spaces_is_done_once(home: Home) -> None:
    twice = home.sweep(space(), space(name="again", lags=(3, 4)))
    plan = twice.round()
    # By arithmetic until it has been counted: then the two that stand in both are known.
    assert (home.record(plan)["cases_total"], home.record(plan)["is_exact"]) == (10, False)
    assert home.do(plan) == 8
    assert (home.record(plan)["cases_total"], home.record(plan)["is_exact"]) == (8, True)


def test_a_sweep_that_was_broken_off_goes_on_where_it_was(home: Home) -> None:
    spaces = space(), space(model="hist_gradient_boosting", params={"trees": (5,)})
    sweep = home.sweep(*spaces, chunk_seconds=0.01)
    assert home.do(sweep.round(), limit=5) == 5
    resumed = sweep.round()
    assert home.record(resumed)["cases_done"] == 5
    assert home.do(resumed) == 7
    keys = [row["case_key"] for row in read_results(home.store, home.manifest["id"])]
    assert sorted(keys) == sorted(case.key for case in enumerate_cases(spaces, [SERIES], COLUMNS))


def test_results_of_cases_that_are_not_asked_for_any_more_do_not_count(home: Home) -> None:
    home.do(home.sweep(space()).round())
    plan = home.sweep(space(lags=(3, 4))).round()
    assert home.do(plan) == 2
    assert {name: home.record(plan)[f"cases_{name}"] for name in ("total", "done", "tested", "never_tested")} == {
        "total": 4,
        "done": 2,
        "tested": 2,
        "never_tested": 2,
    }


def test_what_is_left_is_counted_without_doing_it(home: Home) -> None:
    home.do(home.sweep(space()).round())
    plan = home.sweep(space(lags=(3, 4))).round()
    plan.count_all()
    assert (home.record(plan)["cases_done"], home.record(plan)["cases_never_tested"]) == (2, 2)


def test_the_longest_cases_come_first(home: Home) -> None:
    spaces = space(), space(model="lightgbm", seeds=(0, 1)), space(model="lstm", seeds=(0, 1, 2), lags=(24,))
    chunks = home.sweep(*spaces, chunk_seconds=0.01).round().chunks(KINDS)
    assert [model for model, _ in itertools.groupby(chunk.cases[0].model for chunk in chunks)] == [
        "lstm",
        "lightgbm",
        "ridge",
    ]


def test_lanes_share_the_cases_of_a_space_by_kind_of_model(home: Home) -> None:
    mixed = space(model=("ridge", "lightgbm"), params={"lightgbm": {"trees": (5, 6)}}, sample=15)
    plan = home.sweep(mixed).round()
    linear = [case for chunk in plan.chunks({"linear"}) for case in chunk.cases]
    trees = [case for chunk in plan.chunks({"tree"}) for case in chunk.cases]
    assert {case.model for case in linear} == {"ridge"}
    assert {case.model for case in trees} == {"lightgbm"}
    assert len(linear) + len(trees) == 15
    assert home.record(plan)["is_exact"]


def test_a_million_cases_are_begun_at_once_and_take_no_memory(home: Home) -> None:
    million = space(groups={"range": "on"}, lags=tuple(range(1, 101)), params={"alpha": tuple(range(1, 10_001))})
    tracemalloc.start()
    plan = home.sweep(million).round()
    first = list(itertools.islice(plan.chunks(KINDS), 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert home.record(plan)["cases_total"] == 1_000_000
    assert sum(len(chunk.cases) for chunk in first) < 6001
    assert peak < 40e6  # the ranges themselves and three chunks


def test_a_halving_climbs_a_rung_a_round_and_shows_what_it_pruned(home: Home) -> None:
    alphas = tuple(float(10**power) for power in range(9))
    halved = space(
        groups={"range": "on"}, lags=(1,), params={"alpha": alphas}, halving={"keep": 0.33, "rungs": (100, 200, "all")}
    )
    sweep = home.sweep(halved)
    assert home.record(sweep.round())["cases_total"] == 9 + 3 + 1
    done, pruned = [], []
    while new := home.do(plan := sweep.round()):
        done.append(new)
        pruned.append(home.record(plan)["cases_pruned"])
    assert (done, pruned) == ([9, 3, 1], [0, 6, 8])
    assert home.record(plan) | {"cases_total": 13, "cases_tested": 13, "cases_pruned": 8} == home.record(plan)
    results = read_results(home.store, home.manifest["id"])
    assert len(results) == 13
    assert sorted(row["n_train"] for row in results)[:12] == [100] * 9 + [200] * 3


def test_failed_cases_are_counted_and_not_tried_again(home: Home) -> None:
    sweep = home.sweep(space(groups={"range": "on"}, lags=(1, 500), params={"alpha": (1.0,)}))
    assert home.do(sweep.round()) == 2
    plan = sweep.round()
    assert home.do(plan) == 0
    assert (home.record(plan)["cases_tested"], home.record(plan)["cases_failed"]) == (1, 1)


def test_chunks_get_shorter_towards_the_end_so_that_every_process_has_work(home: Home) -> None:
    networks = space(
        model="lstm", seeds=(0, 1, 2), groups={"range": "on"}, lags=(200,), params={"units": tuple(range(1, 81))}
    )
    sweep = home.sweep(networks)
    lengths = [len(chunk.cases) for chunk in sweep.round().chunks(KINDS)]
    assert 10 < lengths[0] <= 80 / 4
    assert lengths == sorted(lengths, reverse=True)


def test_a_dataset_without_the_columns_of_a_space_is_refused_before_any_work(home: Home) -> None:
    with pytest.raises(StoreError, match=r"lacks moon, which a search space uses. Run `candleworks export`"):
        build_sweep(
            home.store,
            [space(groups={"astrology": "both"})],
            {SERIES: home.manifest},
            COLUMNS | {"moon": "astrology"},
            chunk_seconds=1.0,
            processes=1,
        )
    with pytest.raises(CaseError, match="Unknown group 'weather'"):
        home.sweep(space(groups={"weather": "on"}))


def test_a_stored_chunk_is_short_and_has_the_same_cases(home: Home) -> None:
    names = {f"a_feature_with_a_long_name_{number}": f"group {number % 40}" for number in range(340)}
    wide = make_space(groups={f"group {number}": "both" for number in range(40)}, sample=1000)
    chunk = Chunk(home.manifest["id"], tuple(enumerate_cases([wide], [SERIES], names)))
    write_chunk(home.store, chunk)
    assert read_chunk(home.store, chunk.dataset_id, chunk.id) == chunk
    # Five megabytes of text.
    assert len(home.store.read(chunk_path(chunk.dataset_id, chunk.id))) < 400_000
