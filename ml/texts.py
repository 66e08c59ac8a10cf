"""Texts from outside, such as names of workers and messages of libraries, made fit to show."""

from __future__ import annotations

import unicodedata

#: Replaces each character that is not shown as itself.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def one_line(text: object) -> str:
    """A text, such as the message of an error, on one line.

    >>> one_line(ValueError("no digit\\n  in 'x'"))
    "no digit in 'x'"
    """
    return " ".join(str(text).split())


def first_line(error: BaseException, most: int) -> str:
    """The beginning of the first line of an error's message; the error's type where it has none.

    >>> first_line(ValueError("no digit.\\nin 'x'"), 80), first_line(ValueError(), 80)
    ('no digit', 'ValueError')
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:most]


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
