"""TOML files as editors save them: settings and search spaces are read alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.settings import load_settings
from ml.errors import CandleworksError
from ml.search.spaces import read_search_spaces

SETTINGS = '[markets]\nsymbols = ["BTC/USDT"]\ntimeframes = ["1h"]\n'
SPACE = '[[space]]\nname = "linear"\nmodel = "ridge"\n[space.groups]\nrange = "on"\n'
READERS = pytest.mark.parametrize(
    ("content", "read"), [(SETTINGS, load_settings), (SPACE, read_search_spaces)], ids=["settings", "space"]
)
Read = Callable[[Path], object]


@READERS
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm(
    tmp_path: Path, content: str, read: Read, encoding: str, line_end: str
) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(content.replace("\n", line_end).encode(encoding))
    assert read(path)


@READERS
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_another_encoding_is_named_with_the_remedy(tmp_path: Path, content: str, read: Read, encoding: str) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(f"# caf\u00e9\n{content}".encode(encoding))
    with pytest.raises(CandleworksError, match=r"file\.toml is not saved as UTF-8 .* Save it as UTF-8") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@READERS
def test_what_is_no_toml_or_not_there_is_named(tmp_path: Path, content: str, read: Read) -> None:
    path = tmp_path / "file.toml"
    with pytest.raises(CandleworksError, match=r"Cannot read the .*file\.toml"):
        read(path)
    path.write_text(content + "[broken")
    with pytest.raises(CandleworksError, match=r"file\.toml is not valid TOML .*Correct that line"):
        read(path)


@pytest.mark.parametrize("timeframe", ["1w", "1M", "1D", "60m", ""])
def test_a_timeframe_that_there_is_not_is_refused_by_name(tmp_path: Path, timeframe: str) -> None:
    path = tmp_path / "file.toml"
    path.write_text(f'[markets]\ntimeframes = ["1h", "{timeframe}"]\n')
    with pytest.raises(CandleworksError, match=f"unknown timeframe '{timeframe}'"):
        load_settings(path)
