"""Running Great Expectations: one cached context and suite, two passes over a frame.

The first pass asks only for pass or fail, at half the cost, and with one expectation for all rules that are marks (an
expectation costs the same for one row as for thousands); failed expectations are run again to get the rows. An
expectation that raised also counts as failed, so `exception_info` is read first: that is a defect of the program, never
bad data. Importing Great Expectations takes seconds, so it is imported by the first call.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from expectations.rules import RULES, Rule

_lock = threading.Lock()
#: Column of the validated frame: at least one rule marks the row.
_MARKED = "marked"


class BrokenExpectationError(RuntimeError):
    """An expectation raised instead of passing or failing: a defect of the rules or measures, not of the candles."""


@dataclass(frozen=True)
class Suite:
    """A batch definition of an ephemeral context, the expectations of each rule, and one expectation for all marks."""

    batch_definition: Any
    expectations: dict[str, list[Any]]
    unmarked: Any


def load_great_expectations() -> Any:
    """Import Great Expectations with its analytics turned off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        # Version 1.24 imports modules that Python 3.11 calls deprecated; nothing here can change that.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations  # noqa: PLC0415 - seconds of import, only here

    # It announces its temporary folders at INFO.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    return great_expectations


def quiet_context(**options: Any) -> Any:
    """A data context without progress bars; options as for `great_expectations.get_context`."""
    gx = load_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    context = gx.get_context(**options)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def build_expectations(rule: Rule) -> list[Any]:
    """New Great Expectations objects of a rule; `meta` holds its name, `description` the text of the data docs."""
    classes = load_great_expectations().expectations
    shared = {
        "meta": {"rule": rule.name},
        "description": f"{rule.name}: {rule.meaning}",
        "severity": "critical" if rule.severity == "error" else "warning",
    }
    return [getattr(classes, name)(**arguments, **shared) for name, arguments in rule.expectations]


@lru_cache(maxsize=1)
def candle_suite() -> Suite:
    """The suite of all rules, built once per process."""
    source = quiet_context(mode="ephemeral").data_sources.add_pandas("candles")
    batch_definition = source.add_dataframe_asset("batch").add_batch_definition_whole_dataframe("whole")
    expectations = {rule.name: build_expectations(rule) for rule in RULES}
    unmarked = load_great_expectations().expectations.ExpectColumnValuesToBeInSet(
        column=_MARKED, value_set=[False], meta={"rule": _MARKED}
    )
    return Suite(batch_definition, expectations, unmarked)


def broken_rows(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Validate a measure frame.

    Args:
        frame: Measure frame with index 0..n-1, at least one row.

    Returns:
        For each failed rule the ascending row numbers that break it.

    Raises:
        BrokenExpectationError: an expectation raised.
    """
    marks = [rule.name for rule in RULES if rule.is_mark]
    with _lock, _configurations_built_once():
        suite = candle_suite()
        once = [one for name, group in suite.expectations.items() if name not in marks for one in group]
        marked = frame.assign(**{_MARKED: frame[marks].any(axis="columns")})
        results = _validate(marked, [*once, suite.unmarked], "BOOLEAN_ONLY")
        names = {result.expectation_config.meta["rule"] for result in results if not result.success}
        if _MARKED in names:
            names = (names - {_MARKED}) | {name for name in marks if frame[name].any()}
        if not names:
            return {}
        again = [one for name, group in suite.expectations.items() if name in names for one in group]
        rows: dict[str, set[int]] = {}
        for result in _validate(frame, again, "COMPLETE"):
            places = result.result.get("unexpected_index_list") or []
            rows.setdefault(result.expectation_config.meta["rule"], set()).update(places)
        return {name: np.array(sorted(places), dtype=np.int64) for name, places in rows.items()}


@contextmanager
def _configurations_built_once() -> Iterator[None]:
    """Cache the configuration of each expectation during a validation, in which it does not change.

    Great Expectations 1.24 rebuilds it at each of a thousand accesses, which took half of the time of a validation.
    """
    load_great_expectations()
    from great_expectations.expectations.expectation import Expectation  # noqa: PLC0415

    original = Expectation.configuration
    # The expectation is kept too, so that its id is not reused.
    built: dict[int, tuple[Any, Any]] = {}

    def configuration(expectation: Any) -> Any:
        if id(expectation) not in built:
            built[id(expectation)] = expectation, original.fget(expectation)
        return built[id(expectation)][1]

    Expectation.configuration = property(configuration)
    try:
        yield
    finally:
        Expectation.configuration = original


def _validate(frame: pd.DataFrame, expectations: list[Any], result_format: str) -> list[Any]:
    # Great Expectations hashes and filters the whole frame, so it gets only the columns that it needs.
    looked_at = {getattr(one, key, None) for one in expectations for key in ("column", "column_A", "column_B")}
    columns = [column for column in frame if column in looked_at]
    batch = candle_suite().batch_definition.get_batch(batch_parameters={"dataframe": frame[columns]})
    suite = load_great_expectations().ExpectationSuite(name="candles", expectations=expectations)
    results = list(batch.validate(suite, result_format=result_format).results)
    raise_if_broken(results)
    return results


def raise_if_broken(results: list[Any]) -> None:
    """Distinguish an expectation that raised from a broken rule.

    Raises:
        BrokenExpectationError: one of the results comes from an exception.
    """
    for result in results:
        message = exception_message(result.exception_info)
        if message:
            rule = result.expectation_config.meta["rule"]
            raise BrokenExpectationError(f"the expectation of rule {rule} raised: {message}")


def exception_message(info: dict[str, Any]) -> str:
    """The message of an `exception_info`, which is flat or, where metrics raised, one entry per metric; else ""."""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message") or "no message")
    return ""
