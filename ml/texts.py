"""Texts from outside, such as names of workers and errors in results, made safe to show."""

from __future__ import annotations

import unicodedata

#: Replaces each character that is not shown as itself.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """The text without control characters, escape codes of terminals, and marks that reorder it; line ends stay.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(
        REPLACEMENT if letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs") else letter
        for letter in text
    )
