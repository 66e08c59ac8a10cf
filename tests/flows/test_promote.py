"""Promotion over a store: the champion is defended, judged once, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.installation import Installation
from flows.load import load_store
from flows.promote import champions, promote_series, trial_counts
from ml.cases import TestCase
from ml.chain import Chain
from ml.chunks import Chunk, run_chunk
from ml.config import load_settings
from ml.datasets import write_dataset
from ml.store import Store
from tests.synthetic import SERIES, make_case, make_dataset


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path, load_settings(None, {"promotion": {"minimal_days": 10}}))


def _sweep(store: Store, dataset_id: str, *cases: TestCase) -> None:
    assert run_chunk(store, Chunk(dataset_id, cases), lease_seconds=60, code_version="test") is not None


def _trials(installation: Installation) -> int:
    load_store(installation)
    return trial_counts(installation)[SERIES]


def _judge(installation: Installation, dataset_id: str) -> dict[str, Any] | None:
    return promote_series(installation, SERIES, dataset_id, _trials(installation))


def test_a_good_case_becomes_champion_once_and_is_not_judged_again(installation: Installation) -> None:
    store = installation.store
    dataset_id = write_dataset(store, make_dataset(4000), "test")
    _sweep(store, dataset_id, make_case(), make_case(lags=2, features=("return_1",)))
    verdict = _judge(installation, dataset_id)
    assert verdict is not None
    assert (verdict["decision"], verdict["n_trials"], verdict["holdout_openings"]) == ("promoted", 2, 1)
    assert champions(store, [SERIES])[SERIES]["case_key"] == make_case().key
    assert _judge(installation, dataset_id) is None
    assert Chain(store, "verdicts").verify() == 1


def test_a_champion_that_the_sweep_no_longer_tries_is_still_defended(installation: Installation) -> None:
    store = installation.store
    first = write_dataset(store, make_dataset(4000), "test")
    _sweep(store, first, make_case())
    assert _judge(installation, first) is not None
    # The next night's space has only a worse case: it may beat the baseline, but not the champion on the same rows.
    second = write_dataset(store, make_dataset(4100), "test")
    worse = make_case(features=("range_24",))
    _sweep(store, second, worse)
    verdict = _judge(installation, second)
    assert verdict is not None
    assert verdict["case_key"] == worse.key
    assert verdict["n_trials"] == 2  # the cases of both nights
    assert verdict["decision"] == "refused"
    assert "the champion ridge" in verdict["reason"]
    assert champions(store, [SERIES])[SERIES]["case_key"] == make_case().key


def test_a_case_of_another_target_is_no_challenger(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml import targets  # noqa: PLC0415

    monkeypatch.setitem(targets.TARGETS, "other", targets.TARGETS[targets.NEXT_CANDLE])
    store = installation.store
    dataset = make_dataset(4000)
    object.__setattr__(dataset, "targets", {"other": targets.TARGETS["other"].labels})
    dataset_id = write_dataset(store, dataset, "test")
    _sweep(store, dataset_id, make_case(target="other"))
    assert _judge(installation, dataset_id) is None


def test_a_walk_forward_is_no_challenger(installation: Installation) -> None:
    store = installation.store
    dataset_id = write_dataset(store, make_dataset(4000), "test")
    _sweep(store, dataset_id, make_case(walk_forward={"refit_every": 400}))
    assert _judge(installation, dataset_id) is None
    assert _trials(installation) == 1
