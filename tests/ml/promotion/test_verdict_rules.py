"""Verdicts that say the impossible are named by the verification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml.forecasting.chain import Chain
from ml.forecasting.seals import verify_chains
from ml.promotion.verdict_rules import VerdictRules
from ml.store import Store
from ml.timeframes import HOUR_MS
from tests.synthetic import SERIES, make_case

CASE = make_case()
OTHER = make_case(lags=CASE.lags + 1)
MODEL = "a" * 24


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    card = {"model_id": MODEL, "case_key": CASE.key, "case": CASE.content()}
    store.create(f"models/{MODEL}/card.json", json.dumps(card).encode())
    for identity, symbol in (("d1", SERIES.symbol), ("d2", "OTHER/USDT")):
        manifest = {
            "schema_version": 1, "id": identity, "series": {**SERIES.key, "symbol": symbol}, "timeframe_ms": HOUR_MS,
            "columns": [], "groups": [], "targets": {}, "last_open_time_ms": 0,
        }  # fmt: skip
        store.create(f"datasets/{identity}/manifest.json", json.dumps(manifest).encode())
    return store


def verdict(decision: str, hour: int = 0, **values: Any) -> dict[str, Any]:
    promoted = decision == "promoted"
    return {
        **SERIES.key,
        "decision": decision,
        "case_key": CASE.key,
        "dataset_id": "d1",
        "decided_at": f"2024-01-02T{hour:02}:00:00+00:00",
        "holdout_opened": promoted,
        "holdout_start": "2024-01-01T00:00:00+00:00" if promoted else None,
        "holdout_end": "2024-01-01T23:00:00+00:00" if promoted else None,
        "holdout_openings": 1 if promoted else 0,
        "incumbent_case_key": None,
        "model_id": MODEL if promoted else None,
        **values,
    }


def review(decision: str, hour: int, **values: Any) -> dict[str, Any]:
    body = verdict(decision, hour, incumbent_case_key=CASE.key, model_id=MODEL, **values)
    return {name: value for name, value in body.items() if not name.startswith("holdout_") or name == "holdout_opened"}


def problem_of(store: Store, bodies: list[dict[str, Any]]) -> str:
    store.delete("verdicts")
    chain = Chain(store, "verdicts")
    for body in bodies:
        chain.append(body)
    return verify_chains(store, verdicts=VerdictRules(store))[0].problem


def test_the_verdicts_of_a_series_in_order_have_no_problem(store: Store) -> None:
    later = {"incumbent_case_key": CASE.key, "holdout_openings": 2}
    bodies = [
        verdict("refused"),
        verdict("promoted", 1),
        verdict("refused", 0, symbol="OTHER/USDT"),  # a series has its own times
        review("confirmed", 2),
        verdict("refused", 2, case_key=OTHER.key, holdout_opened=True, **later),
        verdict("promoted", 3, case_key=OTHER.key, model_id="deleted", **{**later, "holdout_openings": 3}),
        review("retired", 4, case_key=OTHER.key),
    ]
    del bodies[0]["holdout_openings"]  # as in an earlier version
    assert problem_of(store, bodies) == ""


def test_a_verdict_that_says_the_impossible_is_named(store: Store) -> None:
    first = verdict("promoted", 1)
    card = json.loads(store.read(f"models/{MODEL}/card.json"))
    store.create("models/forged/card.json", json.dumps({**card, "case": OTHER.content()}).encode())
    for bodies, reason in (
        ([verdict("crowned")], "'crowned' is no decision"),
        ([first, verdict("refused", 0)], "decided before the previous verdict of its series"),
        ([verdict("promoted", holdout_opened=False)], "promotes a case without an opened holdout"),
        ([verdict("promoted", holdout_openings=0)], "it counts 0 openings of the holdout, and the chain has 1"),
        ([verdict("refused", holdout_openings=5)], "it counts 5 openings of the holdout, and the chain has 0"),
        ([verdict("promoted", holdout_end="2024-01-03T00:00:00+00:00")], "holdout did not end before the decision"),
        ([review("confirmed", 1)], "which was never promoted"),
        ([first, review("retired", 2, case_key=OTHER.key)], f"the case {OTHER.key}, which was never promoted"),
        ([verdict("refused", incumbent_case_key=OTHER.key)], f"its incumbent {OTHER.key} was never promoted"),
        ([verdict("refused", model_id=MODEL)], "it refuses a case, and names a model that serves"),
        ([verdict("promoted", model_id=None)], "it promotes a case without a model"),
        ([verdict("promoted", dataset_id="d2")], "its dataset is of another series"),
        ([verdict("promoted", case_key=OTHER.key)], f"its model {MODEL} is of another case"),
        ([verdict("promoted", model_id="forged")], "its model forged is of another case"),
        ([{"decision": "promoted"}], "it lacks a required field"),
    ):
        found = problem_of(store, bodies)
        assert found.startswith(f"verdicts/{len(bodies):010d}.json is the first bad record"), reason
        assert reason in found
