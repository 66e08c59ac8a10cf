"""Timing in pairs: both sides in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired(ours: Callable[[], object], reference: Callable[[], object], runs: int) -> tuple[float, float, float]:
    """Medians of both sides and of their ratio, after one uncounted call of each."""
    ours()
    reference()
    pairs = [(seconds(ours), seconds(reference)) for _ in range(runs)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )


def report(name: str, ours: float, reference: float, ratio: float, unit: str) -> None:
    """Print one line; ratio is ours over the reference."""
    figures = {"ours": round(ours, 6), "reference": round(reference, 6), "ratio": round(ratio, 4)}
    line = {"name": name, **figures, "unit": unit}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
