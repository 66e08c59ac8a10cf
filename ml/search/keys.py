"""Sets of test-case keys at eight bytes per key, for sweeps of millions of cases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
#: New keys kept in a Python set, which takes ten times the memory, before they are merged.
RECENT = 1 << 14


def key_number(key: str) -> int:
    """A key of 16 hexadecimal digits as a number below 2^64."""
    return int(key, 16)


class KeySet:
    """A set of keys that only grows."""

    def __init__(self) -> None:
        self._sorted: Numbers = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def add(self, key: str) -> bool:
        """Add a key; False if it was in the set."""
        number = key_number(key)
        if number in self._recent or place_of(self._sorted, number) is not None:
            return False
        self._recent.add(number)
        if len(self._recent) >= RECENT:
            merged = np.concatenate([self._sorted, np.fromiter(self._recent, np.uint64)])
            merged.sort()
            self._sorted = merged
            self._recent.clear()
        return True


def place_of(numbers: Numbers, number: int) -> int | None:
    """Index of a number in an ascending array (n,); None if it is not in it."""
    place = int(numbers.searchsorted(np.uint64(number)))
    return place if place < len(numbers) and int(numbers[place]) == number else None
