"""Numbers and times as people read them, and the server's command line."""

from __future__ import annotations

import doctest

import pandas as pd
import pytest

from app import __main__ as launcher
from app import formats


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(formats).failed == 0


@pytest.mark.parametrize(
    ("value", "written"),
    [(64123.456, "64,123.46"), (3150.0, "3,150.00"), (512.345, "512.35"), (3.456789, "3.4568"), (0.15870, "0.15870"),
     (0.0000123456, "0.000012346"), (0.0, "0.00"), (None, "\N{EN DASH}"), (float("nan"), "\N{EN DASH}")],
)  # fmt: skip
def test_prices_have_about_five_digits(value: float | None, written: str) -> None:
    assert formats.price(value) == written


def test_percents_carry_a_sign_unless_they_round_to_zero() -> None:
    assert formats.signed_percent(-0.384) == "\N{MINUS SIGN}0.38 %"
    assert formats.signed_percent(-0.004) == "0.00 %"
    assert formats.skill(0.0741) == "+7.4 %"
    assert formats.share(0.8) == "80 %"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.42, "0.42 s"),
        (59.6, "1 min 0 s"),
        (42, "42 s"),
        (4380, "1 h 13 min"),
        (90_000, "1 d 1 h"),
        (None, "\N{EN DASH}"),
    ],
)
def test_durations_have_two_units(seconds: float | None, written: str) -> None:
    assert formats.duration(seconds) == written


def test_a_candle_of_a_day_is_named_by_its_day_and_others_by_their_hours() -> None:
    day, hour = pd.Timestamp("2024-04-21"), pd.Timestamp("2024-04-21 15:00")
    assert formats.span(day, day + pd.Timedelta(days=1)) == "Sun 21 Apr 2024"
    assert formats.span(hour, hour + pd.Timedelta(hours=1)) == "21 Apr 15:00\N{EN DASH}16:00 UTC"


def test_times_of_other_zones_are_shown_as_utc() -> None:
    assert formats.iso_moment("2024-04-21T14:05:00+02:00") == "2024-04-21 12:05"
    assert formats.iso_moment("nonsense") == formats.iso_moment(None) == "\N{EN DASH}"


def test_the_server_listens_on_this_machine_only_and_sends_no_statistics() -> None:
    line = launcher.command(["--port", "8600"])
    assert line[1:4] == ["-m", "streamlit", "run"]
    assert {"--server.address=127.0.0.1", "--browser.gatherUsageStats=false", "--server.headless=true"} <= set(line)
    assert line[-2:] == ["--server.port", "8600"]
