"""Finalists: ranked cases only, seed-mates by their mean, the same in whatever order results come."""

from __future__ import annotations

import json
import math
from itertools import permutations
from typing import Any

import pytest

from ml.canonical import canonical_json
from ml.promotion.finalists import contender_key, contenders, finalists, is_ranked_result
from ml.search.cases import TestCase
from tests.synthetic import make_case


def row(case: TestCase, skill: float | None, **values: Any) -> dict[str, Any]:
    figures = {"skill": skill, "rmse_pct": None if skill is None else 1 - skill, "status": "tested"}
    return {"case_key": case.key, "case_json": canonical_json(case.content())} | figures | values


def test_the_luckiest_seed_does_not_lead() -> None:
    lucky = [make_case(seeds=(seed,)) for seed in range(3)]
    steady = make_case(lags=2)
    rows = [row(case, skill) for case, skill in zip(lucky, (0.09, -0.05, 0.02), strict=True)] + [row(steady, 0.03)]
    first, second = contenders(rows)
    assert (first.case_key, first.skill, first.mates) == (steady.key, 0.03, (steady.key,))
    assert second.skill == pytest.approx(0.02)
    assert second.mates == tuple(sorted(case.key for case in lucky))
    assert second.case_key == second.mates[0]  # who stands for them does not depend on how well it did
    assert finalists(rows, 1) == [first]


@pytest.mark.parametrize("case_json", ["{", "[]", "3", None, "[" * 100_000, '{"a": NaN}', r'{"a": "\ud800"}'])
def test_what_is_no_description_of_a_case_is_not_ranked(case_json: str | None) -> None:
    broken = row(make_case(), 0.9, case_json=case_json)
    assert not is_ranked_result("tested", case_json)
    assert contender_key(case_json) is None
    assert [one.skill for one in contenders([broken, row(make_case(lags=2), 0.1)])] == [0.1]


def test_any_order_of_the_results_gives_the_same_contenders() -> None:
    cases = [make_case(seeds=(seed,)) for seed in range(3)] + [make_case(lags=2), make_case(lags=3)]
    rows = [row(case, skill) for case, skill in zip(cases, (0.1, 0.2, 0.7, 0.3, 0.3), strict=True)]
    expected = contenders(rows)
    assert all(contenders(order) == expected for order in permutations(rows))
    # Equal skill: the smaller error, then the key.
    assert [one.case_key for one in expected[1:]] == sorted(case.key for case in cases[3:])
    rows[3]["rmse_pct"] = 0.1
    assert contenders(rows)[1].case_key == cases[3].key


def test_there_are_at_most_five() -> None:
    rows = [row(make_case(lags=lags), lags / 100) for lags in range(1, 9)]
    assert [round(one.skill, 2) for one in finalists(rows)] == [0.08, 0.07, 0.06, 0.05, 0.04]


def test_what_is_not_ranked_failed_or_has_no_skill_is_no_contender() -> None:
    good = row(make_case(), 0.01)
    others = [
        row(make_case(walk_forward={"refit_every": 24}), 0.9),
        row(make_case(lags=2), None, status="failed"),
        row(make_case(lags=3), math.nan),
    ]
    other_target = canonical_json({**make_case(lags=4).content(), "target": "trade"})
    others.append(row(make_case(lags=4), 0.9, case_json=other_target))
    assert [one.case_key for one in contenders([good, *others])] == [good["case_key"]]
    assert contenders([]) == []


def test_a_walk_forward_is_not_ranked() -> None:
    cases = (make_case(lags=9), make_case(walk_forward={"refit_every": 24}))
    assert [is_ranked_result("tested", canonical_json(case.content())) for case in cases] == [True, False]


def test_mates_are_alike_in_all_but_their_seeds_and_the_name_of_their_features() -> None:
    def content(**changes: object) -> str | None:
        return contender_key(canonical_json(make_case(**changes).content()))

    assert content() == content(seeds=(1, 2)) == content(feature_set="another name")
    for change in ({"lags": 2}, {"params": {"alpha": 3.0}}, {"features": ("return_1",)}, {"train_rows": 500}):
        assert content(**change) != content()
    # Mates also where a worker wrote the description in another order or with spaces.
    described = make_case().content()
    assert contender_key(json.dumps(dict(reversed(described.items())), indent=2)) == content()
