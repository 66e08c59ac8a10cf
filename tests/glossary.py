"""Retired words of this project, each with the term of the field that takes its place.

``python -m tests.glossary [PATH ...]`` lists where one occurs. Words are matched whole: names with an underscore, such
as the columns ``band_low`` and ``false_claim_worker``, do not match.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

#: Private terms -> the field's term. Searched for in the product and its tests.
TERMS = {
    r"claim(s|ed|ing)?": "lease; reported (of metrics)",
    r"court|docket|grounds": "promotion gate; PromotionContext; decision inputs",
    r"judg\w*": "score, evaluate, decide; scorer",
    r"laid over": "bound to",
    r"committees?": "ensemble",
    r"suspects?": "poison cases",
    r"troubles?": "diagnostics",
    r"contests?": "halving",
    r"(un)?manned": "has an online worker",
    r"rasters?": "time grid; off-raster: misaligned",
    r"larger timeframes?": "higher timeframe",
    r"leaders?": "reference market",
    r"outside series": "exogenous series",
    r"bands?": "prediction interval",
    r"warm-up": "lookback",
    r"(?<!non)conformity": "nonconformity",
    r"installations?": "workspace (of a home), installed package",
    r"stands by|stand by|standby|standing (by|gate|dbt|process)": "preloaded",
    r"mend(s|ed|ing)?": "fix, correct",
}
#: Turns of phrase -> plain technical English. Searched for in the product alone.
PHRASES = {
    r"what (is|was|are|were|has|have|had)": "the noun",
    r"whoever|whatever|whichever": "the noun: which user, which rows",
    r"nobody|somebody|anybody": "the noun: no user, no process",
    r"so (many|much|often)": "n, the number of",
    r"beside": "next to, in addition to",
    r"stand|stands|stood": "is, is in",
    r"lie|lies|lay|lain": "is in, is at",
    r"go on|goes on|went on|going on": "continue",
    r"(is|are|was|were|be) gone|has gone|have gone": "was deleted, has exited",
    r"told": "reported",
    r"news": "changed since",
    r"a (row|record|record|line|task|file|process|task and a process) (a|an|each) \w+": "per",
}
SUFFIXES = (".py", ".sql", ".yml", ".yaml", ".toml", ".md", ".json", ".css", "")
#: Files whose words are not ours to choose, and this list.
NOT_SEARCHED = (
    *("requirements.lock", "requirements-types.lock", "LICENSE"),
    *("tests/glossary.py", "tests/test_glossary.py"),
)


class Kept(NamedTuple):
    """A retired word that stays in lines with `line`, in files whose path holds `path`."""

    word: str
    line: str
    path: str
    reason: str


KEPT = (
    Kept(
        "bands", r"\"bands\"|bands=|\.bands|bands VARCHAR|bands: dict|bands rivals|name: bands|as bands", "", "column"
    ),
    Kept("band", r"\"band\"|band: int|band BIGINT|name: band,", "", "column of signals"),
    Kept("conformity", r"\"conformity\"|s\.conformity|conformity(:| DOUBLE)|(:|pct|0\.0) conformity", "", "column"),
    Kept("claims", r"\"claims\"|claims/<", "", "folder of the store"),
    Kept("suspects", r"\"suspects\"", "", "folder of the store"),
    Kept("standby", r"services\.standby|\"standby\"|`standby`|standby =|__STANDBY", "", "former setting"),
    Kept("leader", r"leader = BTC|leader: BTC", "dbt/", "dbt variable"),
    Kept("raster", r"macro with_run_length", "dbt/.sqlfluff", "argument of a macro"),
    Kept("band", r"Bollinger|bands?", "int_features__", "Bollinger's and SuperTrend's own term"),
    Kept("bands", r"Bollinger|bands", "int_features__", "Bollinger's and SuperTrend's own term"),
    Kept("band", r"", "trend_functions.py", "SuperTrend's own term"),
    Kept("bands", r"", "trend_functions.py", "SuperTrend's own term"),
)


class Hit(NamedTuple):
    """A retired word at a place."""

    path: str
    line: int
    word: str
    use: str
    text: str


def _is_text(name: str) -> bool:
    return Path(name).suffix in SUFFIXES and name not in NOT_SEARCHED and (ROOT / name).is_file()


def _files(paths: list[str]) -> list[str]:
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *paths], cwd=ROOT, text=True
    )
    return [name for name in listed.splitlines() if _is_text(name)]


def _prose(name: str, text: str) -> str:
    """A line; of SQL its comment alone, since names in SQL are stored, or part of the fingerprints of columns."""
    return text.partition("--")[2] if name.endswith(".sql") else text


def _is_kept(name: str, word: str, text: str) -> bool:
    return any(one.word == word.lower() and one.path in name and re.search(one.line, text) for one in KEPT)


def hits(paths: list[str]) -> Iterator[Hit]:
    """Every retired word in files below `paths` (in all without any)."""
    rules = {
        tests: [(re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE), use) for pattern, use in words.items()]
        for tests, words in ((True, TERMS), (False, {**TERMS, **PHRASES}))
    }
    for name in _files(paths):
        for number, text in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1):
            for rule, use in rules[name.startswith("tests/")]:
                for match in rule.finditer(_prose(name, text)):
                    if not _is_kept(name, match.group(), text):
                        yield Hit(name, number, match.group(), use, text.strip())


if __name__ == "__main__":
    for hit in hits(sys.argv[1:]):
        sys.stdout.write(f"{hit.path}:{hit.line}: {hit.word!r} -> {hit.use} | {hit.text[:140]}\n")
