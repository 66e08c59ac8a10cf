"""Sampling without replacement from ranges too large to materialise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

ROUNDS = 4


def shuffled(size: int, seed: int) -> Iterator[int]:
    """The numbers 0 to size - 1 in a random order that needs no memory; the same for the same seed.

    A Feistel cipher permutes the numbers of the same bit length; a result outside the range is encrypted again until it
    is inside (cycle walking), which is a permutation of the range.

    Source: Black and Rogaway, Ciphers with Arbitrary Finite Domains (2002).
    """
    half = (max(size - 1, 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    for number in range(size):
        place = _permuted(number, half, mask, seed)
        while place >= size:
            place = _permuted(place, half, mask, seed)
        yield place


def _permuted(number: int, half: int, mask: int, seed: int) -> int:
    left, right = number >> half, number & mask
    for step in range(ROUNDS):
        mixed = hashlib.blake2b(b"%d %d %d" % (seed, step, right)).digest()
        left, right = right, left ^ (int.from_bytes(mixed, "little") & mask)
    return left << half | right
