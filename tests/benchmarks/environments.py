"""Programs of other projects, each in an environment of its own that uv makes for it: none is a dependency of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.pools.worker_process import ONE_THREAD

#: Most seconds of a program, with the time to install its packages.
LIMIT_SECONDS = 900.0


def run_script(script: Path, arguments: Sequence[str], requirements: Sequence[str], folder: Path) -> None:
    """Run a script on one thread, in `folder`, with its requirements alone.

    Raises:
        RuntimeError: they cannot be installed, it fails or takes too long; the message is its own last line.
    """
    wanted = [part for requirement in requirements for part in ("--with", requirement)]
    uv = [sys.executable, "-m", "uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    try:
        done = subprocess.run(
            [*uv, *wanted, "python", str(script), *arguments],
            cwd=folder,
            env={**environment, **ONE_THREAD, "NUMBA_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"it takes longer than {LIMIT_SECONDS:.0f} s") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"it exits with {done.returncode}")
