"""Data docs: pages about checked batches that open offline."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from expectations.docs import build_data_docs
from expectations.gate import check_batch
from expectations.rules import RULES
from ml.errors import CandleDataError
from tests.expectations.frames import HOURLY, candles, end_ms


def plain(page: Path) -> str:
    """The text of a page without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")).split())


def test_data_docs_list_each_batch_and_load_nothing_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the data docs tried to reach a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    sound, broken = candles(30), candles(30)
    broken["volume"] = -1.0
    reports = [check_batch(frame, HOURLY, end_ms(frame)) for frame in (sound, broken)]
    index = build_data_docs(reports, tmp_path / "docs")
    text = index.read_text(encoding="utf-8")
    assert "binance BTC-USDT 1h" in text and "stopped: 30 of 30 candles are bad" in text
    # What could not be looked at is listed as such, not among what passed.
    assert text.count("swapped_volumes, quote_volume_mismatch, shifted_stamps") == 2
    # Of the broken batch no row is sound, so the five rules that compare sound rows saw none.
    assert f"{len(RULES) - 6} of {len(RULES)}" in text and f"{len(RULES) - 12} of {len(RULES)}" in text
    links = re.findall(r'href="(validations/[^"]+)"', text)
    assert len(links) == 2
    pages = [plain(index.parent / link) for link in links]
    assert all("Volume is not negative" in page for page in pages)
    assert "Status: Succeeded" in pages[0] and "Status: Failed" in pages[1]
    for page in index.parent.rglob("*.html"):
        loaded = re.findall(r"(?:src|href)=[\"'](?:https?:)?//|url\([\"']?https?:", page.read_text(encoding="utf-8"))
        assert loaded == [], page


def test_data_docs_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CandleDataError, match="nothing to document"):
        build_data_docs([], tmp_path)
