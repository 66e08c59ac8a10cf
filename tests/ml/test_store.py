"""The store: exclusive creation, atomic replacement, and no way out of it."""

from __future__ import annotations

import errno
import importlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.errors import StoreError
from ml.store import Store


def test_of_many_writers_exactly_one_creates_a_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    winners: list[int] = []

    def write(number: int) -> None:
        try:
            store.create("leases/x", str(number).encode())
        except FileExistsError:
            return
        winners.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert store.read("leases/x") == str(winners[0]).encode()


def test_a_file_that_exists_is_not_created_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("a/b", b"first")
    with pytest.raises(FileExistsError):
        store.create("a/b", b"second")
    assert store.read("a/b") == b"first"


def test_replace_leaves_no_part_files_and_list_is_sorted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("f/2", "f/1", "f/1"):
        store.replace(name, name.encode())
    assert store.list("f") == ["f/1", "f/2"]
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["1", "2"]
    assert store.list("nowhere") == []


@pytest.mark.parametrize("path", ["../out", "/etc/out", "a/../../out"])
def test_a_path_out_of_the_store_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(StoreError, match="leads out of the store"):
        Store(tmp_path).replace(path, b"")


def test_a_store_under_a_file_cannot_be_written_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Cannot write to the store"):
        Store(tmp_path / "file").check_writable()


def test_a_memory_store_behaves_like_a_folder() -> None:
    store = Store("memory://candleworks-test")
    store.create("x/1", b"one")
    with pytest.raises(FileExistsError):
        store.create("x/1", b"two")
    assert store.list("x") == ["x/1"]
    assert store.local_path("x/1").read_bytes() == b"one"
    store.delete("x")
    assert not store.exists("x/1")


def test_a_store_of_another_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.require_schema()
    store.require_schema()
    store.replace("schema.json", b'{"schema_version": 99}')
    with pytest.raises(StoreError, match="has schema 99"):
        store.require_schema()
    assert store.read("schema.json") == b'{"schema_version": 99}'


@pytest.mark.parametrize("where", ["os.fsync", "os.link", "tempfile.mkstemp", "pathlib.Path.mkdir"])
def test_on_a_full_disk_a_write_fails_whole_and_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    store = Store(tmp_path)
    store.replace("f/old", b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        with pytest.raises(StoreError, match=r"No space left on device.*Free space"):
            store.create("f/new", b"new")
        if where != "os.link":  # a replacement is no link
            with pytest.raises(StoreError, match="Free space"):
                store.replace("f/old", b"new")
    # No half file, no leftover, and the old content is still there.
    assert {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()} == {"old": b"old"}


def test_a_file_is_set_aside_beside_those_that_were_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for content in (b"1", b"2"):
        store.replace("f/x", content)
        store.set_aside("f/x")
    store.set_aside("f/x")  # somebody else was first
    assert {path: store.read(path) for path in store.list("f")} == {"f/x.corrupt": b"1", "f/x.2.corrupt": b"2"}


@pytest.mark.parametrize(
    ("url", "package"), [("s3://bucket/candleworks", "s3fs"), ("gs://bucket/x", "gcsfs"), ("abfs://box/x", "adlfs")]
)
def test_a_protocol_whose_package_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    loaded = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(loaded, url.partition(":")[0], raising=False)

    with pytest.raises(StoreError) as caught:
        Store(url)

    assert str(caught.value) == (
        f"The store {url} needs a package that is not installed. Run `python -m pip install {package}`."
    )


def test_an_address_of_no_known_kind_is_named_with_an_example_that_works() -> None:
    with pytest.raises(StoreError, match="address of no known kind") as caught:
        Store("s4://bucket/candleworks")
    example = re.search(r"such as (\S+)\.$", str(caught.value))
    assert example
    assert not Store(example.group(1)).is_local


def test_the_store_of_the_readme_is_there_after_the_set_up() -> None:
    store = Store("s3://bucket/candleworks")
    assert (store.is_local, store.url) == (False, "s3://bucket/candleworks")


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a person without keys of an object store."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda store: store.check_writable(), "write to"),
        (lambda store: store.create("a", b""), "write to"),
        (lambda store: store.replace("a", b""), "write to"),
        (lambda store: store.delete("a"), "write to"),
        (lambda store: store.read("a"), "read"),
        (lambda store: store.schema_version(), "read"),
        (lambda store: store.exists("a"), "read"),
        (lambda store: store.list("a"), "read"),
        (lambda store: store.local_path("a"), "read"),
        (lambda store: store.set_aside("a"), "read"),
    ],
)
def test_an_object_store_without_keys_is_said_in_one_line(use: Callable[[Store], object], what: str) -> None:
    said = rf"^Cannot {what} the store s3://nobody-\S+ \(Unable to locate credentials\)\. .*heck its .* run again\.$"
    with pytest.raises(StoreError, match=said):
        use(Store("s3://nobody-has-keys/candleworks"))


def test_what_may_not_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"^Cannot read the store .* Check its address, keys and permissions"):
        Store(tmp_path).read("folder")


@pytest.mark.e2e
def test_the_command_that_installs_a_package_is_understood() -> None:
    # Nothing is fetched: the package is there since the set-up.
    command = [sys.executable, "-m", "pip", "install", "s3fs", "--no-index", "--dry-run", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "already satisfied: s3fs" in done.stdout


def test_a_new_file_and_its_folders_are_flushed_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    sync = os.fsync

    def seen(handle: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    Store(tmp_path).create("new/folder/file", b"1")
    folders = [str(tmp_path), str(tmp_path / "new"), str(tmp_path / "new" / "folder")]
    assert [one for one in flushed if Path(one).is_dir()] == [folders[1], folders[0], folders[2]]
    assert len(flushed) == 4, "and the file itself"
    flushed.clear()
    Store(tmp_path).create("new/folder/other", b"1")
    assert len(flushed) == 2
