"""Start the dashboard's server: `python -m app [--port PORT] [more flags of streamlit run]`.

The process replaces itself by Streamlit's (exec), so its parent can stop the server by the process id it knows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.theme import STREAMLIT_FLAGS

_FOLDER = Path(__file__).resolve().parent


def command(arguments: list[str]) -> list[str]:
    """The command line of the server; `--port N` is short for `--server.port N`."""
    flags = ["--server.port" if argument == "--port" else argument for argument in arguments]
    return [sys.executable, "-m", "streamlit", "run", str(_FOLDER / "main.py"), *STREAMLIT_FLAGS, *flags]


def main() -> None:
    """Become the server. Streamlit puts app/ on the path; the packages next to app/ need their own entry."""
    paths = [str(_FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    line = command(sys.argv[1:])
    os.execv(line[0], line)


if __name__ == "__main__":
    main()
