"""The code version changes with any line of the domain, and with nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import ml.version
from ml.version import code_version


def version_of_copy(folder: Path) -> str:
    """The code version that a copy of the module, with what lies beside it, tells."""
    spec = importlib.util.spec_from_file_location("version_copy", folder / "version.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told: str = module.code_version()
    return told


def test_the_code_version_is_the_packages_version_and_eight_digits() -> None:
    assert re.fullmatch(re.escape(version("candleworks")) + r"\+[0-9a-f]{8}", code_version())


def test_the_code_version_changes_with_any_line_of_the_sources_and_with_nothing_else(tmp_path: Path) -> None:
    shutil.copy(ml.version.__file__, tmp_path / "version.py")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linear.py").write_text("alpha = 1\n")
    before = version_of_copy(tmp_path)
    (tmp_path / "notes.txt").write_text("not code")
    assert version_of_copy(tmp_path) == before
    (tmp_path / "models" / "linear.py").write_text("alpha = 2\n")
    changed = version_of_copy(tmp_path)
    assert changed != before
    (tmp_path / "models" / "linear.py").rename(tmp_path / "models" / "other.py")
    assert version_of_copy(tmp_path) not in (before, changed)
