"""Backups of a home: a folder with every file and a manifest of their hashes.

A backup is consistent while flows run. The warehouse is copied under its lock, in which forecasts, scores and signals
are sealed, and the files of the store are listed there too: after the warehouse has lost no record that it loaded. The
store is append only, so its files are copied after the lock was released. Databases of SQLite, such as Prefect's, are
copied by SQLite, before the store is listed.

It is written under a hidden name next to its target, read again, and renamed: an interrupted one has no name that
looks like a backup. It holds the secrets of the home, each with mode 0600, in a folder of mode 0700.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.workspace.server_database import database_path
from flows.workspace.workspace import Workspace
from ml.errors import StoreError
from ml.execution import leases
from ml.forecasting.published import POINTER
from ml.forecasting.seals import CHAINS
from ml.store import SCHEMA_PATH, Store, flush_folder

MANIFEST = "manifest.json"
_LAYOUT = 1
_SQLITE = b"SQLite format 3\0"
_WAREHOUSE = "warehouse.duckdb"
#: Folders of the home that are made anew: dbt's artefacts, logs, records of processes, and Prefect's caches.
_LEFT_OUT = ("dbt", "logs", "run", "prefect")
#: Folder of the store with the leases of running work.
_LEASES = f"{leases.FOLDER}/"
_CHUNK_BYTES = 2**20


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: str
    size: int
    mode: int


class Manifest(BaseModel):
    """The content of `manifest.json`; paths are relative to the backup."""

    model_config = ConfigDict(extra="forbid")

    layout: int
    made_at: str
    program: str
    files: dict[str, _File]


def make_backup(workspace: Workspace, target: Path, now: datetime) -> Manifest:
    """Write a backup of a home into the new folder `target`, and read it again.

    Raises:
        StoreError: there is no such home, the target exists, or it cannot be written; nothing is left there.
    """
    if not workspace.warehouse.path.is_file():
        raise StoreError(f"There is no warehouse in {workspace.home}. Give the folder of the home with --home.")
    _require_folder(target)
    if target.exists():
        raise StoreError(f"{target} exists. Give the name of a new folder, such as one with the date.")
    with _appearing(target) as part:
        copies, store = _Copies(part), Store(workspace.store_url)
        paths = _copy_databases(workspace, store, copies)
        _copy_files(workspace, copies)
        for path in paths:
            _copy_from_store(store, path, copies)
        manifest = Manifest(
            layout=_LAYOUT, made_at=now.isoformat(), program=version("candleworks"), files=dict(copies.files)
        )
        copies.write(MANIFEST, manifest.model_dump_json(indent=1).encode(), 0o600)
        read_backup(part)
    return manifest


class _Copies:
    """The files that are written below a folder, each flushed to disk, with the hashes of the bytes that were read.

    Attributes:
        files: relative path -> hash, size and mode.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files: dict[str, _File] = {}

    def path(self, name: str) -> Path:
        """The path of a file, whose folder is made."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, content: bytes, mode: int) -> None:
        """Write a new file."""
        self._write(name, [content], mode)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file with its mode."""
        with source.open("rb") as file:
            self._write(name, iter(lambda: file.read(_CHUNK_BYTES), b""), source.stat().st_mode & 0o777)

    def add(self, name: str) -> None:
        """Note a file that another program wrote, a secret one."""
        self.path(name).chmod(0o600)
        self.files[name] = _file(self.path(name))

    def _write(self, name: str, chunks: Iterable[bytes], mode: int) -> None:
        digest, size, path = hashlib.sha256(), 0, self.path(name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        self.files[name] = _File(sha256=digest.hexdigest(), size=size, mode=mode)


def read_backup(source: Path) -> Manifest:
    """Check every file of a backup against its manifest.

    Raises:
        StoreError: it is no backup, or a file is missing, was added or changed.
    """
    try:
        manifest = Manifest.model_validate_json((source / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        raise StoreError(f"{source} is not a backup: it has no readable {MANIFEST}. Give another folder.") from None
    if manifest.layout != _LAYOUT:
        raise StoreError(
            f"{source} has layout {manifest.layout}, this program knows {_LAYOUT}. Use the version of Candleworks that "
            f"wrote it, {manifest.program} or newer."
        )
    found = _hashes(source)
    for path in sorted(manifest.files.keys() | found.keys()):
        wanted, there = manifest.files.get(path), found.get(path)
        if wanted is None:
            raise StoreError(f"{source}: {path} is not in the manifest. Remove it, or use another backup.")
        if there is None or (there.sha256, there.size) != (wanted.sha256, wanted.size):
            kind = "is missing" if there is None else "was changed"
            raise StoreError(f"{source}: {path} {kind} since the backup was made. Use another backup.")
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise StoreError(f"{source}: {path} leads out of the backup. Use another backup.")
    return manifest


def restore_backup(source: Path, workspace: Workspace, now: datetime, *, replace: bool = False) -> Manifest:
    """Make a home from a backup, which is checked first.

    A store outside the home gets the files that it lacks; it may hold no other file of the same name.

    Args:
        source: the backup.
        workspace: the home to make, and where its store is.
        now: names the home that is replaced.
        replace: whether a home with content is moved to ``<home>.replaced-<time>``; without it, it is refused.

    Raises:
        StoreError: the backup is not whole, the home has content, or it cannot be written; nothing was changed.
    """
    manifest, home = read_backup(source), workspace.home
    inside = _store_folder(workspace)
    has_content = home.exists() and any(home.iterdir())
    if has_content and not replace:
        raise StoreError(
            f"The home {home} has content. Give another with --home, or --replace, which keeps it as "
            f"{home.name}.replaced-<time>."
        )
    if has_content:
        with workspace.warehouse.locked(timeout_seconds=1.0):
            pass  # no flow works in the home that is moved
    if inside is None:
        _require_same(source, manifest, Store(workspace.store_url))
    _require_folder(home)
    with _appearing(home, home.with_name(f"{home.name}.replaced-{now:%Y%m%dT%H%M%S}") if has_content else None) as part:
        copies = _Copies(part)
        for path, file in manifest.files.items():
            first, _, name = path.partition("/")
            if first == "home" or inside is not None:
                target = name if first == "home" else f"{inside}/{name}"
                copies.copy(source / path, target)
                copies.path(target).chmod(file.mode)
        if inside is None:
            _fill(source, manifest, Store(workspace.store_url))
    return manifest


def _require_folder(target: Path) -> None:
    if "://" in str(target) or ":/" in str(target):
        raise StoreError(f"{target} is not a folder of this machine. Give one, and copy it to other stores afterwards.")


@contextmanager
def _appearing(target: Path, aside: Path | None = None) -> Iterator[Path]:
    """A folder that is filled under a hidden name and gets its name at the end; a present one is moved `aside`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-", suffix=".part"))  # of mode 0700
        try:
            yield part
            if aside is not None:
                target.rename(aside)
            elif target.exists():
                target.rmdir()  # it is empty, else this fails
            try:
                part.rename(target)
            except OSError:
                if aside is not None:
                    aside.rename(target)
                raise
            flush_folder(target.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"Cannot write {target} ({error}). Nothing is left there; free space or choose another folder, then run "
            "again."
        ) from error


def _copy_databases(workspace: Workspace, store: Store, copies: _Copies) -> list[str]:
    """Copy the warehouse and all databases of SQLite; returns the files of the store of this state, in order."""
    warehouse = workspace.warehouse
    with warehouse.locked():
        with warehouse.connect() as connection:
            connection.execute("checkpoint")
        copies.copy(warehouse.path, f"home/{_WAREHOUSE}")
        for path in (*sorted(workspace.home.iterdir()), database_path(workspace.home)):
            if _is_sqlite(path):
                _copy_sqlite(path, path.relative_to(workspace.home).as_posix(), copies)
        paths = _listed(store)
    with closing(duckdb.connect(str(copies.path(f"home/{_WAREHOUSE}")), read_only=True)) as copy:
        copy.execute("select max(version) from raw.schema_version")
    return paths


def _is_sqlite(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _copy_sqlite(path: Path, name: str, copies: _Copies) -> None:
    """Copy a database that others may be writing."""
    with (
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as before,
        closing(sqlite3.connect(copies.path(f"home/{name}"))) as after,
    ):
        before.backup(after)
        after.execute("pragma journal_mode = delete")
    copies.add(f"home/{name}")


def _listed(store: Store) -> list[str]:
    """The files of a store. Those that name others come first: what they name exists already and is listed later."""
    first = [path for path in (POINTER, SCHEMA_PATH) if store.exists(path)]
    chains = [path for name in reversed(CHAINS) for path in store.list(name)]
    known = {*first, *chains}
    of_chains = tuple(f"{name}/" for name in CHAINS)
    others = [path for path in store.list("") if path not in known and not path.startswith((_LEASES, *of_chains))]
    return [*first, *chains, *others]


def _copy_from_store(store: Store, path: str, copies: _Copies) -> None:
    try:
        content = store.read(path)
    except FileNotFoundError:
        if path.startswith(tuple(f"{name}/" for name in CHAINS)):
            raise StoreError(
                f"{path} vanished from the store. `candleworks verify` names the missing record."
            ) from None
        return  # a version of the snapshot or a lease that has served its time
    copies.write(f"store/{path}", content, 0o600)


def _store_folder(workspace: Workspace) -> str | None:
    """The store's folder relative to the home; None where it is elsewhere."""
    store = Store(workspace.store_url)
    folder, home = Path(workspace.store_url).resolve(), workspace.home.resolve()
    return folder.relative_to(home).as_posix() if store.is_local and folder.is_relative_to(home) else None


def _copy_files(workspace: Workspace, copies: _Copies) -> None:
    """The other files of the home: secrets, and those of the user."""
    home, store = workspace.home, _store_folder(workspace)
    for path in sorted(home.iterdir()):
        if path.name == store:
            continue
        if _is_sqlite(path) or path.name.endswith(("-wal", "-shm", "-journal")):
            continue  # copied as a database
        skipped = path.name in _LEFT_OUT or path.name.startswith((".", _WAREHOUSE)) or path.suffix == ".lock"
        if skipped or path.is_symlink():
            continue
        if path.is_dir():
            for one in sorted(path.rglob("*")):
                if one.is_file() and not one.is_symlink():
                    copies.copy(one, f"home/{one.relative_to(home).as_posix()}")
        elif path.is_file():
            copies.copy(path, f"home/{path.name}")


def _hashes(folder: Path) -> dict[str, _File]:
    """Every file below a folder but its manifest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            found[name] = _file(path)
    return found


def _file(path: Path) -> _File:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return _File(sha256=sha256, size=path.stat().st_size, mode=path.stat().st_mode & 0o777)


def _stored(manifest: Manifest) -> Iterable[str]:
    return [path.removeprefix("store/") for path in manifest.files if path.startswith("store/")]


def _require_same(source: Path, manifest: Manifest, store: Store) -> None:
    """Refuse a store outside the home that has other content under a name of the backup, or later records."""
    for path in _stored(manifest):
        if store.exists(path) and store.read(path) != (source / "store" / path).read_bytes():
            raise StoreError(f"The store {store.url} has another {path}. Set `[storage] url` to an empty place.")
    for name in CHAINS:
        if later := [path for path in store.list(name) if path not in set(_stored(manifest))]:
            raise StoreError(f"The store {store.url} has {later[0]}. Set `[storage] url` to an empty place.")


def _fill(source: Path, manifest: Manifest, store: Store) -> None:
    for path in _stored(manifest):
        if not store.exists(path):
            store.create(path, (source / "store" / path).read_bytes())
