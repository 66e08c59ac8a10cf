"""Every writing operation of the store, with an I/O error or a kill at its n-th step, for every n.

After an error the reader finds what was there before or the whole new state; the error names the remedy; and the same
operation, repeated, gives what it would have given undisturbed. A kill lets no clean-up run.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ml.data.datasets import read_dataset, write_dataset
from ml.data.feature_tables import read_feature_table, write_feature_table
from ml.data.parquet import parquet_bytes
from ml.errors import StoreError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.execution.costs import Costs, costs_of_dataset
from ml.forecasting.model_store import load_model, save_model
from ml.forecasting.published import publish_version, read_table
from ml.metrics.conformal import BandScores
from ml.store import PART_SECONDS, Store
from tests.synthetic import SERIES, make_case, make_dataset

#: Steps of writing; each is one operation of the file system.
STEPS = ("link", "replace", "rename", "unlink", "fsync", "mkdir", "fdopen", "rmdir")
MARKET = make_dataset(600)
CASE = make_case()
FITTED = fit_and_evaluate(CASE, MARKET)[2]
TABLE = parquet_bytes(pa.table({"open_time_ms": pa.array([1, 2], pa.int64()), "a": pa.array([1, 2], pa.float32())}))


class Killed(BaseException):
    """The process is dead: no step after it happens."""


@contextmanager
def failing(step: int, how: int | None) -> Iterator[list[int]]:
    """Within, the step with this number fails with an errno; with None it and all later ones do not happen."""
    count = [0]

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            count[0] += 1
            if how is None and count[0] >= step:
                raise Killed
            if how is not None and count[0] == step:
                raise OSError(how, os.strerror(how))
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        yield count


def model(store: Store) -> str:
    return save_model(store, "m1", CASE, FITTED, BandScores(np.array([0.5]), None), {"kind": "frozen"}).id


def snapshot(store: Store) -> bool:
    return publish_version(store, "v2", {"a": TABLE, "b": TABLE}, {"published_at": "2024-01-01T00:00:00+00:00"})


def feature_table(store: Store) -> bool:
    return write_feature_table(store, SERIES, "d1", ["a"], lambda: TABLE)


def seen(read: Callable[[], Any]) -> str:
    try:
        return repr(read())
    except StoreError as error:
        return " ".join(error.lines())


#: Name -> what writes, and what a reader sees.
OPERATIONS: dict[str, tuple[Callable[[Store], Any], Callable[[Store], Any]]] = {
    "create": (lambda store: store.create("f/new", b"new"), lambda store: store.list("f")),
    "replace": (lambda store: store.replace("f/old", b"new"), lambda store: store.read("f/old")),
    "set aside": (lambda store: store.set_aside("f/old"), lambda store: store.list("f")),
    "model": (model, lambda store: load_model(store, "m1")[2].values.tolist()),
    "dataset": (
        lambda store: write_dataset(store, MARKET, "code"),
        lambda store: read_dataset(store, MARKET.identity()).id,
    ),
    "features": (feature_table, lambda store: read_feature_table(store, SERIES).to_pylist()),
    "costs": (
        lambda store: costs_of_dataset(store, "d1", lambda: Costs({"ridge": 1.5})),
        lambda store: store.exists("costs/d1.json") and costs_of_dataset(store, "d1", lambda: Costs({})).rates,
    ),
    "snapshot": (snapshot, lambda store: read_table(store, "b")),
}


def prepared(folder: Path) -> Store:
    store = Store(folder)
    store.replace("f/old", b"old")
    publish_version(store, "v1", {"b": parquet_bytes(pa.table({"c": [3]}))}, {"published_at": "2023-01-01"})
    return store


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_error_or_a_kill_at_any_step_leaves_the_old_state_or_the_new_one(name: str, tmp_path: Path) -> None:
    write, read = OPERATIONS[name]
    store = prepared(tmp_path / "undisturbed")
    before = seen(lambda: read(store))
    with failing(0, errno.EIO) as count:
        write(store)
    after, steps = seen(lambda: read(store)), count[0]
    assert before != after
    assert steps > 0
    for how in (errno.ENOSPC, errno.EIO, None):
        for step in range(1, steps + 1):
            store = prepared(tmp_path / f"{how}-{step}")
            where = f"{name}: {'killed' if how is None else errno.errorcode[how]} at step {step} of {steps}"
            try:
                with failing(step, how):
                    write(store)
            except Killed:
                assert how is None, where
            except StoreError as error:
                assert "Free space" in str(error), where
            found = seen(lambda: read(store)).replace(str(store.url), "")  # noqa: B023 - called at once
            assert found in (before.replace(str(tmp_path / "undisturbed"), ""), after), where
            if not (name == "create" and found == after) and not (name == "set aside" and found == after):
                write(store)
            assert seen(lambda: read(store)) == after, where  # noqa: B023


def test_what_a_killed_writer_left_is_swept_after_a_day(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    with pytest.raises(Killed), failing(3, None):
        store.create("f/new", b"new")
    with pytest.raises(Killed), failing(6, None):
        store.create_folder("models/m1", {"a/b": b"1", "card.json": b"{}"})
    left = sorted(path for path in tmp_path.rglob(".*.part"))
    assert len(left) == 2
    now_s = max(path.stat().st_mtime for path in left)
    assert store.sweep_parts(now_s + PART_SECONDS - 1) == ()
    assert list(store.sweep_parts(now_s + PART_SECONDS + 1)) == [path.relative_to(tmp_path).as_posix() for path in left]
    assert list(tmp_path.rglob(".*.part")) == []
    assert store.read("f/old") == b"old"
