"""Texts from outside on a terminal: names of workers and markets, errors in results, messages of servers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.panel import Panel

from flows.reporting import Terminal, TerminalReporter
from flows.settings import CombineSettings, ExchangeSettings, SourceSettings, load_settings
from flows.terminal.output import print_csv, print_records
from ml.errors import ConfigurationError
from ml.series import Series
from ml.texts import printable

HOSTILE = (
    "[/x]",
    "[bold]not bold",
    "a\x1b[2J\x1b]0;title\x07b",
    "\x9b31m",
    "a\u202egnp.exe",
    "a\rb",
    "\x7f",
    ":smile:",
)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_ends_a_command_or_reaches_the_terminal_as_a_code(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.StringIO()
    console = Terminal(file=written, width=200)
    console.print(text)
    console.print(Panel(text))
    with TerminalReporter(console) as reporter, reporter.step(text) as step:
        step.say(text)
        step.warn(text)
    print_records([{"worker": text, "error": text}], False, text)
    print_records([], False, text)
    print_csv(["worker"], [{"worker": text}])
    shown = written.getvalue() + capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r\x7f") - {"\r"}
    assert "\x1b" not in shown
    for plain in ("[/x]", "[bold]not bold", ":smile:"):
        assert text != plain or plain in shown


def test_lines_stay_lines() -> None:
    assert printable("a\n\tb\x00\N{LATIN SMALL LETTER E WITH ACUTE}") == "a\n\tb\N{REPLACEMENT CHARACTER}é"


NAMES = ("../../x", "a/b", "a\\b", "a\x1b[2J", "a" * 300, "a\nb", "..", ".a", "a ", " ", "%2F")


def test_names_in_the_settings_that_are_no_names_are_refused() -> None:
    for name in NAMES:
        for build in (
            lambda one: ExchangeSettings(name=one),
            lambda one: ExchangeSettings(id=one),
            lambda one: SourceSettings(id=one),
            lambda one: CombineSettings(name=one),
        ):
            with pytest.raises(ValidationError):
                build(name)
    for good in ("binance", "Binance US", "my-exchange_2", "v1.2"):
        assert ExchangeSettings(name=good).called == good


@pytest.mark.parametrize("symbol", ["../../x", "A/..", "A\x1b[2J/B", "A" * 300 + "/USDT", "A\u202e/B"], ids=ascii)
def test_symbols_that_are_no_markets_are_refused_in_one_printable_line(symbol: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, {"markets": {"symbols": [symbol]}})
    (line,) = caught.value.lines()
    assert line.isprintable()
    assert len(line) < 400


def test_no_two_markets_share_a_file_name() -> None:
    symbols = ("A-B/C", "A/B-C", "A/B:C", "A/B%3AC", "A%2DB/C", "AB/C", "A_B/C", "A/B_C", "a/b-c")
    slugs = {Series(exchange="e", symbol=symbol, timeframe="1h").slug.casefold() for symbol in symbols}
    assert len(slugs) == len(symbols) - 1  # the last one differs in its case only
