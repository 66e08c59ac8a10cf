"""Sealed chains: whatever is done to the files, `verify` names the first bad record."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.canonical import canonical_json, digest
from ml.errors import StoreError
from ml.forecasting.chain import GENESIS, Chain
from ml.store import Store
from tests.conftest import REPOSITORY

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
BODIES = st.dictionaries(st.text(), SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
#: hypothesis calls a test many times, so each call makes its own folder; files are synced to disk, which takes time.
FEW = settings(max_examples=25, deadline=None)


def path_of(folder: Path, sequence: int) -> Path:
    return folder / "log" / f"{sequence:010d}.json"


def sealed(folder: str, bodies: list[dict[str, Any]]) -> tuple[Chain, list[dict[str, Any]]]:
    chain = Chain(Store(folder), "log")
    return chain, [chain.append(body) for body in bodies]


def first_bad(chain: Chain, sequence: int) -> Any:
    return pytest.raises(StoreError, match=rf"log/{sequence:010d}\.json is the first bad record")


def test_a_record_is_sealed_over_its_number_its_body_and_the_hash_before_it(tmp_path: Path) -> None:
    chain, (first, second) = sealed(str(tmp_path), [{"a": 1}, {"a": 2}])
    assert first["hash"] == digest({"sequence": 1, "previous": GENESIS, "body": {"a": 1}})
    assert second["hash"] == digest({"sequence": 2, "previous": first["hash"], "body": {"a": 2}})
    assert chain.head() == (2, second["hash"])
    assert list(chain.records()) == [first, second]
    assert list(chain.records(after=1)) == [second]


def test_an_empty_chain_is_whole(tmp_path: Path) -> None:
    chain = Chain(Store(tmp_path), "log")
    assert (chain.head(), chain.verify(), chain.verify(head=GENESIS), list(chain.records())) == ((0, GENESIS), 0, 0, [])


@FEW
@given(st.lists(BODIES, max_size=5))
def test_an_untouched_chain_is_whole_and_holds_every_head_it_ever_had(bodies: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain, records = sealed(folder, bodies)
        for record in records:
            assert chain.verify(head=record["hash"]) == len(bodies)
        assert [record["body"] for record in chain.records()] == bodies


@FEW
@given(st.lists(BODIES, min_size=1, max_size=4), st.data())
def test_every_edit_of_a_byte_is_found(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain, _ = sealed(folder, bodies)
        sequence = data.draw(st.integers(1, len(bodies)))
        path = path_of(Path(folder), sequence)
        content = bytearray(path.read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with first_bad(chain, sequence):
            chain.verify()


@pytest.mark.parametrize("edit", [b" ", b"\n", b"{}"])
def test_bytes_behind_a_record_are_found(tmp_path: Path, edit: bytes) -> None:
    chain, _ = sealed(str(tmp_path), [{"a": 1}, {"a": 2}])
    path = path_of(tmp_path, 1)
    path.write_bytes(path.read_bytes() + edit)
    with first_bad(chain, 1):
        chain.verify()


@FEW
@given(st.lists(BODIES, min_size=1, max_size=4), BODIES, st.data())
def test_an_edit_that_is_sealed_again_is_found_at_the_record_behind_it_or_by_the_published_head(
    bodies: list[dict[str, Any]], other: dict[str, Any], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain, records = sealed(folder, bodies)
        sequence = data.draw(st.integers(1, len(bodies)))
        forged = {key: records[sequence - 1][key] for key in ("sequence", "previous")} | {"body": other}
        # 1 and True and 1.0 are equal to Python and different in JSON.
        if canonical_json(other) == canonical_json(bodies[sequence - 1]):
            return
        path_of(Path(folder), sequence).write_text(canonical_json(forged | {"hash": digest(forged)}), encoding="utf-8")
        if sequence < len(bodies):
            with first_bad(chain, sequence + 1):
                chain.verify()
        with pytest.raises(StoreError):
            chain.verify(head=records[-1]["hash"])


@FEW
@given(st.lists(BODIES, min_size=2, max_size=5), st.data())
def test_every_record_that_is_removed_in_the_middle_is_found(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain, _ = sealed(folder, bodies)
        removed = data.draw(st.integers(1, len(bodies) - 1))
        path_of(Path(folder), removed).unlink()
        with first_bad(chain, removed + 1):
            chain.verify()


@FEW
@given(st.lists(BODIES, min_size=2, max_size=4), st.data())
def test_every_record_that_is_put_in_or_moved_is_found(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain, records = sealed(folder, bodies)
        one = data.draw(st.integers(1, len(bodies) - 1))
        other = data.draw(st.integers(one + 1, len(bodies)))
        contents = {n: path_of(Path(folder), n).read_bytes() for n in range(1, len(bodies) + 1)}
        # Two files change places.
        path_of(Path(folder), one).write_bytes(contents[other])
        path_of(Path(folder), other).write_bytes(contents[one])
        with first_bad(chain, one):
            chain.verify()
        # A well-sealed record is put in behind `one`, and all later files move up by one.
        content = {"sequence": one + 1, "previous": records[one - 1]["hash"], "body": {"put": "in"}}
        path_of(Path(folder), one).write_bytes(contents[one])
        for n in range(one + 1, len(bodies) + 1):
            path_of(Path(folder), n + 1).write_bytes(contents[n])
        path_of(Path(folder), one + 1).write_text(canonical_json(content | {"hash": digest(content)}))
        with first_bad(chain, one + 2):
            chain.verify()


@FEW
@given(st.lists(BODIES, min_size=1, max_size=5), st.data())
def test_a_chain_that_was_cut_is_found_with_the_published_head(
    bodies: list[dict[str, Any]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain, records = sealed(folder, bodies)
        left = data.draw(st.integers(0, len(bodies) - 1))
        for sequence in range(left + 1, len(bodies) + 1):
            path_of(Path(folder), sequence).unlink()
        assert chain.verify() == left
        with pytest.raises(StoreError, match="the chain was cut or rewritten"):
            chain.verify(head=records[-1]["hash"])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b'{"sequence": 1}', b"\xff", b'{"sequence":1,"previous":0,"body":NaN}']
)
def test_a_file_that_is_no_record_is_named(tmp_path: Path, content: bytes) -> None:
    chain, _ = sealed(str(tmp_path), [{"a": 1}])
    path_of(tmp_path, 1).write_bytes(content)
    with first_bad(chain, 1):
        chain.verify()


def test_a_foreign_file_in_the_folder_is_named(tmp_path: Path) -> None:
    chain, _ = sealed(str(tmp_path), [{"a": 1}])
    (tmp_path / "log" / "0000000001-copy.json").write_bytes(path_of(tmp_path, 1).read_bytes())
    with pytest.raises(StoreError, match=r"log/0000000001-copy\.json is the first bad record"):
        chain.verify()


def test_what_is_no_json_is_not_sealed(tmp_path: Path) -> None:
    chain = Chain(Store(tmp_path), "log")
    with pytest.raises(ValueError, match="not JSON compliant"):
        chain.append({"skill": float("nan")})
    assert chain.head() == (0, GENESIS)


#: A writer of its own: waits for a line, then appends as fast as it can.
WRITER = """
import sys
from ml.forecasting.chain import Chain
from ml.store import Store
chain = Chain(Store(sys.argv[1]), "log")
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    chain.append({"writer": int(sys.argv[2]), "number": number})
"""


@pytest.mark.e2e
def test_processes_that_write_at_the_same_time_do_not_fork_the_chain(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        for writer in range(8)
    ]
    try:
        for process in writers:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in writers:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in writers:
            process.communicate(timeout=120)
            assert process.returncode == 0
    finally:
        for process in writers:
            process.kill()
    chain = Chain(Store(tmp_path), "log")
    assert chain.verify(head=chain.head()[1]) == 160
    bodies = [record["body"] for record in chain.records()]
    # Nothing is lost, and each writer's records are in its own order.
    for writer in range(8):
        assert [body["number"] for body in bodies if body["writer"] == writer] == list(range(20))
    # They did write at the same time: the records are mixed.
    assert [body["writer"] for body in bodies] != sorted(body["writer"] for body in bodies)
    assert json.loads(path_of(tmp_path, 160).read_bytes())["sequence"] == 160


def test_a_record_that_is_no_json_stops_readers_in_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chain = Chain(store, "forecasts")
    chain.append({"a": 1})
    store.replace("forecasts/0000000001.json", b"{")
    with pytest.raises(StoreError, match=r"0000000001\.json is not a sealed record"):
        list(chain.records())
