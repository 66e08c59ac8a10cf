"""`make drill [SEED=n]`: kill -9 at random moments, then compare every result with those of an undisturbed sweep.

And loads from exchanges that answer anything, held against the truth.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from flows.pools.worker_process import use_one_thread

use_one_thread()

from tests.drill import exchanges, leases, prefect_pool  # noqa: E402

KILLS, STOPS, CASES = 21, 3, 3000
EXAMPLES = 20_000


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """All drills; 1 when a result differs, or a load breaks a promise."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
    _say(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        _say("leases:")
        found = leases.drill(Path(folder), kills=KILLS, stops=STOPS, cases=CASES, seed=seed, say=_say)
        _say(f"{KILLS} kills, {STOPS} stops, {CASES} cases: {len(found)} differences from an undisturbed sweep")
    with tempfile.TemporaryDirectory() as folder:
        _say("Prefect:")
        found += prefect_pool.drill(Path(folder), seed=seed, say=_say)
    _say("exchanges that answer anything:")
    found += exchanges.drill(EXAMPLES, seed)
    for line in found:
        _say(line)
    _say("FAILED" if found else "passed: same keys, same numbers, none twice; loads keep their promises")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
