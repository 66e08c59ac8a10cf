"""`make drill [SEED=n] [DRILL=name]`: all drills, or one: what dies at random moments, or is answered anything.

Processes of a sweep are killed, and every result compared with those of an undisturbed sweep; loads from exchanges that
answer anything are held against the truth; parts of builds, and builds that are killed, against a full build; and every
kind of file of a home is damaged in every way, and read by every command.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from flows.pools.worker_process import use_one_thread

use_one_thread()

from tests.damage import matrix  # noqa: E402
from tests.damage.home import build_home  # noqa: E402
from tests.damage.readers import COMMANDS, command, flow_readers, store_readers  # noqa: E402
from tests.drill import dbt_builds, exchanges, leases, prefect_pool  # noqa: E402

KILLS, STOPS, CASES = 21, 3, 3000
EXAMPLES = 20_000
KILLED_BUILDS = 12


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _leases(folder: Path, seed: int) -> list[str]:
    found = leases.drill(folder, kills=KILLS, stops=STOPS, cases=CASES, seed=seed, say=_say)
    _say(f"{KILLS} kills, {STOPS} stops, {CASES} cases: {len(found)} differences from an undisturbed sweep")
    return found


def _damage(folder: Path, _: int) -> list[str]:
    home, config = build_home(folder / "damaged")
    scratch = folder / "scratch"
    scratch.mkdir()
    readers = [*store_readers(), *(command(config, *words) for words in COMMANDS), *flow_readers(config)]
    cells = matrix.run_matrix(home, scratch, readers, say=_say)
    _say(matrix.summary(cells))
    return matrix.faults(cells)


#: What a drill finds wrong, in words, by its name; each gets an empty folder and the seed.
DRILLS = {
    "leases": _leases,
    "damage": _damage,
    "prefect": lambda folder, seed: prefect_pool.drill(folder, seed=seed, say=_say),
    "exchanges": lambda folder, seed: exchanges.drill(EXAMPLES, seed),
    "builds": lambda folder, seed: dbt_builds.killed_builds(folder, KILLED_BUILDS, seed, _say),
    "selections": lambda folder, seed: dbt_builds.selections(folder, [], _say),
}


def main() -> int:
    """The drills that were asked for; 1 when one finds something wrong, 2 for an unknown name."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    names = [word for word in sys.argv[1:] if not word.isdecimal()] or list(DRILLS)
    if unknown := [name for name in names if name not in DRILLS]:
        sys.stderr.write(f"No drill {', '.join(unknown)}. There are: {', '.join(DRILLS)}.\n")
        return 2
    seed = numbers[0] if numbers else int(time.time())
    _say(f"seed {seed}")
    found = []
    for name in names:
        _say(f"{name}:")
        with tempfile.TemporaryDirectory() as folder:
            found += DRILLS[name](Path(folder), seed)
    for line in found:
        _say(line)
    _say("FAILED" if found else "passed: same keys, same numbers, none twice; loads and builds keep their promises")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
