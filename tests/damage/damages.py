"""The damages: what a disk, a power cut or a person makes of a file; and the kinds of files of a home."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

Damage = Callable[[Path, bytes, bytes], None]
#: Files that are no data: locks, logs, caches that dbt and Prefect make anew.
_NO_DATA = re.compile(r"(^|/)(logs|dbt|demo\.lock|warehouse\.lock|memo_store\.toml|concurrency_leases)(/|$)|-shm$")
#: Ids, numbers and names of series in a path.
_NAMES = re.compile(
    r"\b(?:[0-9a-f]{12,}(?:-[0-9a-f]+)*|\d{4,}(?:-\d{2})?)\b|(?<=-)[0-9a-f]{16}\b|[a-z0-9]+_[A-Z]+-[A-Z]+_\w+"
)


def _written(path: Path, content: bytes) -> None:
    # A new file: copies of a home share their files by hard links.
    path.unlink()
    path.write_bytes(content)


def _flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


#: Name -> what it does to a file, given its content and that of another file.
DAMAGES: dict[str, Damage] = {
    "deleted": lambda path, _, __: path.unlink(),
    "empty": lambda path, _, __: _written(path, b""),
    "half": lambda path, content, _: _written(path, content[: len(content) // 2]),
    "zeroed": lambda path, content, _: _written(path, bytes(len(content))),
    "flipped": lambda path, content, _: _written(path, _flipped(content)),
    "foreign": lambda path, _, other: _written(path, other),
}


def kind_of(path: str) -> str:
    """The path of a file without the names in it: files of one kind have the same."""
    return _NAMES.sub("*", path)


def files_by_kind(home: Path) -> dict[str, list[str]]:
    """Kind -> paths of its files in a home, sorted."""
    kinds: dict[str, list[str]] = {}
    for file in sorted(home.rglob("*")):
        path = file.relative_to(home).as_posix()
        if file.is_file() and not _NO_DATA.search(path):
            kinds.setdefault(kind_of(path), []).append(path)
    return kinds


def foreign(home: Path, kinds: Mapping[str, list[str]], path: str) -> bytes:
    """The content of another valid file: of the same kind if there is one, else of the same suffix, else any."""
    content = (home / path).read_bytes()
    others = [one for one in kinds[kind_of(path)] if one != path]
    others += [one for paths in kinds.values() for one in paths if Path(one).suffix == Path(path).suffix]
    for other in [*others, *(one for paths in kinds.values() for one in paths)]:
        if (found := (home / other).read_bytes()) not in (content, b""):
            return found
    raise AssertionError(f"no file differs from {path}")
