"""The store: a folder or an object store of immutable files, shared by all machines.

Both ways to write are atomic. `create` writes a file that must not exist yet: of several concurrent writers exactly
one succeeds; leases, results and sealed chains rely on this. `replace` swaps a pointer or a progress file; a concurrent
reader sees the old or the new content, never a mixture.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from ml.errors import StoreError, StoreIOError

#: Raised with every change that older programs cannot read. 2: one key per fit (`ml.execution.former_keys`).
SCHEMA_VERSION = 2
SCHEMA_PATH = "schema.json"
#: A temporary file of this age belongs to no writer.
PART_SECONDS = 86_400.0


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and its path there."""
    try:
        file_system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        # fsspec knows far more protocols than are installed with it.
        package = getattr(error.__cause__, "name", None) or "fsspec[full]"
        raise StoreError(
            f"The store {url} needs a package that is not installed. Run `python -m pip install {package}`."
        ) from error
    except ValueError as error:
        raise StoreError(
            f"The store {url} has an address of no known kind. Set `[storage] url` to a folder or to a URL such as "
            "s3://bucket/candleworks."
        ) from error
    return file_system, str(root)


def flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that the names in it outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    """Make a folder with its parents, each flushed to disk."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        flush_folder(one.parent)


def _create_local_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write the files next to `target`, flushed to disk, and rename the whole."""
    if target.exists():
        raise FileExistsError(target)
    _make_folder(target.parent)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=".", suffix=".part"))
    try:
        for name, data in files.items():
            place = part / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        part.chmod(0o755)  # as of a folder that is made in place
        try:
            part.rename(target)
            flush_folder(target.parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(target) from None
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove(part: Path) -> None:
    """Delete a temporary file; where that fails it is left to `Store.sweep_parts`."""
    with suppress(OSError):
        part.unlink()


class Store:
    """Files under one URL (a local folder or any fsspec URL such as ``s3://bucket/candleworks``).

    Paths are relative with forward slashes.

    Raises:
        StoreError: the URL cannot be reached or written.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        self._fs, root = _file_system(self.url)
        self._root = root.rstrip("/")
        protocol = self._fs.protocol
        self.is_local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)
        # Object stores have errors of their own: no keys, no such server.
        self._failures: type[Exception] = OSError if self.is_local else Exception

    def _full(self, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise StoreError(f"Path {path!r} leads out of the store {self.url}. Use a relative path inside it.")
        return f"{self._root}/{path}"

    @contextmanager
    def _writing(self, *passed: type[OSError]) -> Iterator[None]:
        """Convert failures of the block to a StoreIOError; those of `passed` are left to the caller."""
        try:
            yield
        except self._failures as error:
            if isinstance(error, passed):
                raise
            raise StoreIOError(
                f"Cannot write to the store {self.url} ({error}). Free space, or check its address, keys and "
                "permissions, then run again."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Convert failures of the block to a StoreIOError; a missing file is left to the caller."""
        try:
            yield
        except (FileNotFoundError, StoreError):
            raise
        except self._failures as error:
            raise StoreIOError(
                f"Cannot read the store {self.url} ({error}). Check its address, keys and permissions, then run again."
            ) from error

    def _temporary(self, target: Path, data: bytes) -> Path:
        """Write `data` to a temporary file next to `target`, flushed to disk, so that a rename makes it visible."""
        _make_folder(target.parent)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            _remove(Path(name))
            raise
        return Path(name)

    def create(self, path: str, data: bytes) -> None:
        """Write a new file; in a folder, its name is flushed to disk too, so that a power failure does not lose it.

        Raises:
            FileExistsError: another writer was first; nothing was changed.
            StoreError: it cannot be written, for example because the disk is full; nothing was changed.
        """
        full = self._full(path)
        with self._writing(FileExistsError):
            if not self.is_local:
                self._fs.pipe_file(full, data, mode="create")
                return
            part = self._temporary(Path(full), data)
            try:
                # A hard link fails where the name is taken: exclusive, and complete from the first moment.
                os.link(part, full)
            finally:
                _remove(part)
            flush_folder(Path(full).parent)

    def replace(self, path: str, data: bytes) -> None:
        """Write a file, replacing an existing one.

        Raises:
            StoreError: it cannot be written; an existing file is unchanged.
        """
        full = self._full(path)
        with self._writing():
            if not self.is_local:
                self._fs.pipe_file(full, data)
                return
            part = self._temporary(Path(full), data)
            try:
                part.replace(full)
            except OSError:
                _remove(part)
                raise

    def create_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Write a new folder with all its files: a reader sees none or all; in an object store the last one comes last.

        Args:
            path: of the folder, which must not exist.
            files: path in the folder -> content; the last one completes the folder where there is no rename.

        Raises:
            FileExistsError: another writer was first; nothing was changed.
            StoreError: it cannot be written, for example because the disk is full; nothing was changed.
        """
        full = self._full(path)
        with self._writing(FileExistsError):
            if not self.is_local:
                if self._fs.exists(full):
                    raise FileExistsError(full)
                for name, data in files.items():
                    self._fs.pipe_file(self._full(f"{path}/{name}"), data)
                return
            _create_local_folder(Path(full), files)

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: there is none.
            StoreError: it cannot be read.
        """
        full = self._full(path)
        with self._reading():
            content: bytes = self._fs.cat_file(full)
        return content

    def exists(self, path: str) -> bool:
        """Whether the file or folder is there."""
        full = self._full(path)
        with self._reading():
            return bool(self._fs.exists(full))

    def list(self, prefix: str) -> list[str]:
        """Relative paths of all files below the folder `prefix`, sorted; empty where there is no such folder."""
        folder = self._full(prefix)
        try:
            with self._reading():
                if not self.is_local:
                    self._fs.invalidate_cache()
                found = self._fs.find(folder)
        except FileNotFoundError:
            return []
        start = len(self._root) + 1
        return sorted(name[start:] for name in found if not PurePosixPath(name).name.startswith("."))

    def set_aside(self, path: str) -> str:
        """Rename an unusable file or folder to ``<path>.corrupt`` (with a number if that name is taken).

        Returns:
            Its new path. Nothing happens if the file no longer exists: another process has set it aside.
        """
        aside, number = f"{path}.corrupt", 1
        while self.exists(aside):
            number += 1
            aside = f"{path}.{number}.corrupt"
        with suppress(FileNotFoundError), self._writing(FileNotFoundError):
            self._fs.mv(self._full(path), self._full(aside), recursive=True)
        return aside

    def delete(self, path: str) -> None:
        """Remove a file or a folder with its content, if it exists."""
        full = self._full(path)
        with self._writing():
            if self._fs.exists(full):
                self._fs.rm(full, recursive=True)

    def sweep_parts(self, now_s: float) -> tuple[str, ...]:
        """Delete temporary files and folders that writers left behind more than a day ago, such as killed ones.

        Args:
            now_s: seconds since 1970-01-01.

        Returns:
            Their paths; none in an object store, where writing leaves nothing behind.
        """
        swept = []
        for part in sorted(Path(self._root).rglob(".*.part")) if self.is_local else ():
            with suppress(OSError):  # a file system may forbid it, and another process may be faster
                if part.stat().st_mtime < now_s - PART_SECONDS:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
                    swept.append(part.relative_to(self._root).as_posix())
        return tuple(swept)

    def local_path(self, path: str) -> Path:
        """A local path to read the file from (mmap); a remote file is downloaded once and cached."""
        full = self._full(path)
        if self.is_local:
            return Path(full)
        local = Path(tempfile.gettempdir()) / "candleworks-cache" / full.replace("/", "_")
        if not local.exists():
            local.parent.mkdir(parents=True, exist_ok=True)
            part = local.with_suffix(f".{os.getpid()}.part")
            with self._reading():
                self._fs.get_file(full, str(part))
            part.replace(local)
        return local

    def require_schema(self) -> None:
        """Mark a new store with the schema of this program; refuse a store with another one.

        Raises:
            StoreError: the store was written by a program with another schema, or cannot be written.
        """
        try:
            self.create(SCHEMA_PATH, json.dumps({"schema_version": SCHEMA_VERSION}).encode())
        except FileExistsError:
            self.check_schema()

    def check_schema(self) -> None:
        """Refuse a store with another schema, without writing; an unmarked store is accepted.

        Raises:
            StoreError: the store was written by a program with another schema.
        """
        found = self.schema_version()
        if found is None:
            return
        if found != SCHEMA_VERSION:
            remedy = (
                "Run `candleworks results`, which brings it up to date."
                if found < SCHEMA_VERSION
                else "Use the version of Candleworks that wrote it, or another store."
            )
            raise StoreError(f"The store {self.url} has schema {found}, this program has {SCHEMA_VERSION}. {remedy}")

    def schema_version(self) -> int | None:
        """The schema of the store; None of an unmarked one.

        Raises:
            StoreError: the mark is damaged.
        """
        try:
            return int(json.loads(self.read(SCHEMA_PATH))["schema_version"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            mark = json.dumps({"schema_version": SCHEMA_VERSION})
            raise StoreError(
                f"{SCHEMA_PATH} in {self.url} is damaged. Restore it from a backup; of a store that this version has "
                f"written, its content is {mark}."
            ) from None

    def check_writable(self) -> None:
        """Fail now if the store is not writable, rather than after the work is done.

        Raises:
            StoreError: nothing can be written at this URL.
        """
        probe = f".probe-{os.getpid()}"
        self.replace(probe, b"")
        self.delete(probe)
