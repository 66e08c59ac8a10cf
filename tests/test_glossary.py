"""The retired words occur nowhere: in code, comments, messages, pages and documents."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests import glossary


@pytest.mark.e2e
def test_no_retired_word_is_left() -> None:
    found = [f"{hit.path}:{hit.line}: {hit.word!r} -> {hit.use}" for hit in glossary.hits([])]
    assert found == []


@pytest.mark.e2e
def test_every_exception_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = glossary.KEPT
    monkeypatch.setattr(glossary, "KEPT", ())
    found = list(glossary.hits([]))
    for one in kept:
        lines = [hit.text for hit in found if hit.word.lower() == one.word and one.path in hit.path]
        assert any(re.search(one.line, line) for line in lines), one


@pytest.mark.e2e
def test_a_retired_word_is_found(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    (folder / "page.py").write_text("# The court judges whoever claims it; band_low stays.\n")
    (folder / "model.sql").write_text("select band from raster  -- what is known\n")
    monkeypatch.setattr(glossary, "ROOT", folder)
    found = {(hit.path, hit.word) for hit in glossary.hits([])}
    assert found == {("page.py", word) for word in ("court", "judges", "whoever", "claims")} | {
        ("model.sql", "what is")
    }
