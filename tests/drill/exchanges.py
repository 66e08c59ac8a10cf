"""Loads from exchanges that answer anything, by several processes."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests import exchange_fuzz

PROCESSES = 2


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _part(count: int, seed: int) -> list[str]:
    return exchange_fuzz.drill(count, seed=seed, say=lambda line: _say(f"  seed {seed}: {line.strip()}"))


def drill(count: int, seed: int) -> list[str]:
    """Play `count` examples in all; what is wrong, in words."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        seeds = range(PROCESSES * seed, PROCESSES * (seed + 1))
        return [line for lines in processes.map(partial(_part, count // PROCESSES), seeds) for line in lines]
