"""The secret of a home: made once, for its owner alone."""

from __future__ import annotations

import re
import shlex
import threading
from pathlib import Path

import pytest

from flows.workspace.secret import home_secret, secret_path
from ml.errors import ServiceError


def test_the_first_need_makes_a_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "new"

    secret = home_secret(home)

    assert re.fullmatch(r"candleworks:[\w-]{43}", secret)
    assert secret_path(home).stat().st_mode & 0o777 == 0o600
    assert home_secret(home) == secret
    assert list(home.iterdir()) == [secret_path(home)]
    assert home_secret(tmp_path / "other") != secret


def test_threads_that_need_the_secret_at_once_have_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(home_secret(tmp_path))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert set(found) == {home_secret(tmp_path)}


def _remedy(error: ServiceError) -> list[str]:
    found = re.search(r"`(rm [^`]+)`", str(error))
    assert found
    return shlex.split(found.group(1))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o622])
def test_a_secret_that_others_may_read_is_refused_until_it_is_deleted(tmp_path: Path, mode: int) -> None:
    secret = home_secret(tmp_path)
    secret_path(tmp_path).chmod(mode)

    with pytest.raises(ServiceError, match=rf"Other users may read or change .* \(mode {mode:o}\)") as caught:
        home_secret(tmp_path)

    assert secret.partition(":")[2] not in str(caught.value)
    _, path = _remedy(caught.value)
    Path(path).unlink()
    assert home_secret(tmp_path) != secret


@pytest.mark.parametrize(
    "content", ["", "candleworks", "candleworks:short", "two words:0123456789abcdef", "ä:" + 20 * "ü"]
)
def test_a_broken_secret_is_refused_until_it_is_deleted(tmp_path: Path, content: str) -> None:
    path = secret_path(tmp_path)
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")

    with pytest.raises(ServiceError, match="does not hold user:password") as caught:
        home_secret(tmp_path)

    Path(_remedy(caught.value)[1]).unlink()
    assert home_secret(tmp_path)


def test_one_of_ones_own_is_taken(tmp_path: Path) -> None:
    path = secret_path(tmp_path)
    path.touch(mode=0o600)
    path.write_text("me:correct-horse-battery\n")
    assert home_secret(tmp_path) == "me:correct-horse-battery"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match=r"Cannot read or write .*prefect-secret .*--home"):
        home_secret(tmp_path / "file")
