"""The code version changes with the code of `ml`, and with nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

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


SOURCE = '''"""A model."""

class Ridge:
    """Ridge regression."""

    #: The penalty.
    alpha = 1

    def fit(self) -> None:
        """Fit it."""
        self.fitted = True
'''


def versions(folder: Path, *sources: str) -> list[str]:
    """The code version with each of the sources as one of the modules."""
    shutil.copy(ml.version.__file__, folder / "version.py")
    (folder / "models").mkdir()
    found = []
    for source in sources:
        (folder / "models" / "ridge.py").write_text(source)
        found.append(version_of_copy(folder))
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("alpha = 1", "alpha = 2"),
        ("alpha = 1", "beta = 1"),
        ("alpha = 1", 'alpha = "1"'),
        ("alpha = 1", "alpha = 0"),
        ("self.fitted = True", "self.fitted = 1"),
        ("self.fitted = True", "if alpha: self.fitted = True"),
        ("    def fit", "    @cache\n    def fit"),
        ("fit(self)", "fit(self, y=None)"),
        ("fit(self)", "fit(self, *, y=None)"),
    ],
)
def test_the_version_changes_with_the_code(tmp_path: Path, old: str, new: str) -> None:
    assert old in SOURCE
    before, after = versions(tmp_path, SOURCE, SOURCE.replace(old, new))
    assert after != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A model."""\n', ""),
        ("Ridge regression.", "Regression with an L2 penalty."),
        ('"""Fit it."""', '"""Fit it.\n\n        On the train rows.\n        """'),
        ("    #: The penalty.\n", ""),
        ("alpha = 1", "alpha = 1  # the default\n\n"),
        ("alpha = 1", "alpha = (1)"),
    ],
)
def test_the_version_does_not_change_with_docstrings_comments_and_layout(tmp_path: Path, old: str, new: str) -> None:
    assert old in SOURCE
    before, after = versions(tmp_path, SOURCE, SOURCE.replace(old, new))
    assert after == before


def test_the_version_changes_with_the_name_of_a_module_and_not_with_other_files(tmp_path: Path) -> None:
    (before,) = versions(tmp_path, SOURCE)
    (tmp_path / "notes.txt").write_text("not code")
    assert version_of_copy(tmp_path) == before
    (tmp_path / "models" / "ridge.py").rename(tmp_path / "models" / "other.py")
    assert version_of_copy(tmp_path) != before
