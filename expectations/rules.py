"""The rules of the quality gate, as data: name, severity, and the expectations that express each.

`expectations` of a rule name Great Expectations classes and their arguments over the columns of the measure frame
(expectations/measures.py). Defects that no built-in expectation detects are marked there in a Boolean column named like
the rule, which is expected to be False; so one engine evaluates all rules and the data docs show all of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from expectations.report import Severity

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume")

Expectation = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: Its name in checks and quarantine.
        meaning: The condition that a row must meet, shown in the data docs.
        detail: Template of one row's detail; fields are columns of the measure frame.
        expectations: Class name and arguments of each expectation; a row breaks the rule if it fails one of them.
        severity: Rows that break a rule of severity `error` go to quarantine, always; those that break a `warning` are
            kept, always.
        stops: Whether these rows count towards stopping the market. An `error` that occurs in sound markets too (an
            exchange fills its outages) quarantines without stopping.
    """

    name: str
    meaning: str
    detail: str
    expectations: tuple[Expectation, ...]
    severity: Severity = "error"
    stops: bool = True

    @property
    def is_mark(self) -> bool:
        """The rule is nothing but a Boolean column of its name, which is expected to be False."""
        return self.expectations == _not_marked(self.name)

    @property
    def quarantines(self) -> bool:
        """Rows that break it are not good."""
        return self.severity == "error"


def _between(columns: tuple[str, ...], **bounds: Any) -> tuple[Expectation, ...]:
    return tuple(("ExpectColumnValuesToBeBetween", {"column": column, **bounds}) for column in columns)


def _at_least(*pairs: tuple[str, str]) -> tuple[Expectation, ...]:
    """Column A is not below column B; rows where one of them is missing are left to the rule for missing values."""
    return tuple(
        (
            "ExpectColumnPairValuesAToBeGreaterThanB",
            {"column_A": a, "column_B": b, "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        )
        for a, b in pairs
    )


def _not_marked(column: str) -> tuple[Expectation, ...]:
    return (("ExpectColumnValuesToBeInSet", {"column": column, "value_set": [False]}),)


def _marked(name: str, meaning: str, detail: str, **options: Any) -> Rule:
    return Rule(name, meaning, detail, _not_marked(name), **options)


def _warning(name: str, meaning: str, detail: str) -> Rule:
    return _marked(name, meaning, detail, severity="warning", stops=False)


RULES: tuple[Rule, ...] = (
    Rule(
        "missing_value",
        "Every candle has a time, four prices and a volume.",
        "no number in: {missing}",
        tuple(("ExpectColumnValuesToNotBeNull", {"column": column}) for column in ("open_time", *VALUES)),
    ),
    Rule(
        "not_finite",
        "No value is infinite.",
        "open {open} high {high} low {low} close {close} volume {volume}",
        _between(VALUES, max_value=sys.float_info.max),
    ),
    Rule(
        "price_not_positive",
        "Prices are above zero.",
        "open {open} high {high} low {low} close {close}",
        _between(PRICES, min_value=0, strict_min=True),
    ),
    _marked(
        "absurd_value",
        "Values are plausible: prices 1e-12 to 1e12, volumes to 1e18 (with a margin of a factor 10), no wick of a "
        "factor of a million.",
        "open {open} high {high} low {low} close {close} volume {volume}",
    ),
    Rule("negative_volume", "Volume is not negative.", "volume {volume}", _between(("volume",), min_value=0)),
    Rule("high_below_low", "The high is not below the low.", "high {high} low {low}", _at_least(("high", "low"))),
    Rule(
        "open_outside_range",
        "The open is between low and high.",
        "open {open} low {low} high {high}",
        _at_least(("high", "open"), ("open", "low")),
    ),
    Rule(
        "close_outside_range",
        "The close is between low and high.",
        "close {close} low {low} high {high}",
        _at_least(("high", "close"), ("close", "low")),
    ),
    Rule(
        "off_raster",
        "A candle opens at a multiple of its timeframe.",
        "opens {raster_offset_ms} ms after a multiple of the timeframe",
        (("ExpectColumnValuesToBeInSet", {"column": "raster_offset_ms", "value_set": [0]}),),
    ),
    _marked("future_candle", "No candle opens after now.", "opens {opens_in_ms} ms after now"),
    _marked(
        "unfinished_candle",
        "A stored candle is closed: by the clock, and by its own and other copies' volume.",
        "{unfinished_evidence}",
        stops=False,
    ),
    _marked(
        "repeated_open_time",
        "Each open time occurs once. Of several copies the best is kept: coherent prices first, then the larger volume "
        "(a candle only grows), then the one with a trade count, then the last.",
        "{copy_kind} copy of a candle that is kept",
        stops=False,
    ),
    _marked(
        "conflicting_copies",
        "Copies of one candle do not contradict each other by more than 1 % in a price.",
        "a copy of the same open time has other prices",
    ),
    Rule(
        "not_ascending",
        "Candles come in ascending order (they are sorted here).",
        "comes after a later candle",
        (("ExpectColumnValuesToBeBetween", {"column": "step_ms", "min_value": 0}),),
        severity="warning",
        stops=False,
    ),
    _warning("stale", "The newest candle closed recently.", "newest candle closed {stale_timeframes} timeframes ago"),
    _marked(
        "false_open",
        "The open is within a factor 2 of its own close or of a neighbour, and agrees with a reference whose close "
        "agrees.",
        "open {open}, own close {close}, {open_evidence}",
    ),
    _marked(
        "outlier_candle",
        "A close that moves by more than a factor 2 is confirmed by the next close, by opens that meet the closes, or "
        "by a reference; beyond a factor 10 both sides must confirm it. The newest candle is held in quarantine while "
        "its path is broken.",
        "close {close}, previous close {last_close}, next close {following_close}",
    ),
    _warning(
        "open_jump",
        "The open is within 20 % of the previous close.",
        "open {open}, previous close {previous_close}",
    ),
    _warning(
        "long_wick",
        "High and low are within a factor 2 of open and close.",
        "open {open} high {high} low {low} close {close}",
    ),
    _marked(
        "filler_candle",
        "A run of flat candles without volume next to missing candles fills an outage, when no trade was possible. It "
        "is left out and shows as a gap. Elsewhere such a candle means that no trade happened, and is kept.",
        "open = high = low = close = {close}, volume 0, in a run next to a gap",
        stops=False,
    ),
    _marked(
        "false_filler",
        "A flat candle without volume is at the previous close: without a trade the price cannot move.",
        "open = high = low = close = {close}, volume 0, but previous close {previous_close}",
        stops=False,
    ),
    _marked(
        "swapped_volumes",
        "quote_volume / volume is a price inside the candle, not its reciprocal.",
        "volume {volume} and quote_volume {quote_volume} are swapped (close {close})",
    ),
    _warning(
        "quote_volume_mismatch",
        "quote_volume / volume is a price inside the candle, to 1 %.",
        "volume {volume} quote_volume {quote_volume} close {close}",
    ),
    _marked(
        "shifted_stamps",
        "The returns fit the reference's best without shifting the timestamps.",
        "timestamps are {lag_ms} ms late: correlation {lag_correlation} at that lag, {zero_correlation} unshifted",
    ),
    _marked(
        "close_stamped",
        "The timestamps are open times, not close times.",
        "timestamps are close times: correlation {lag_correlation} one timeframe earlier, {zero_correlation} unshifted",
    ),
    _marked(
        "volume_unit",
        "The volume counts the base asset.",
        "volume is {volume_ratio} times the reference's where the price is {typical_price}: it counts the quote asset",
    ),
    _warning(
        "differs_from_reference",
        "A copy of the same series has the same values (prices to 1e-6, volume to 0.5 %).",
        "differs from the reference in {differing}",
    ),
)
