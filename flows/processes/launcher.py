"""Start a command that dies with its parent.

    python -m flows.processes.launcher [--signal KILL] [--parent PID] [--] COMMAND [ARGUMENT ...]

A parent that is killed cannot clean up, so the child has to ask the kernel beforehand: on Linux this sets the
parent-death signal (prctl PR_SET_PDEATHSIG) and then becomes COMMAND (exec: same process id, no process in between).
Elsewhere it only becomes COMMAND.

Three pitfalls, and how they are handled:

- The signal is lost on fork: each generation has to go through this launcher. Our work pools start flow runs with it,
  so killing a worker kills its flow runs, and their children in turn. SIGKILL is the default, because a single process
  that ignores a softer signal would break the chain, and because everything here is written to survive a crash.
- The signal follows the *thread* that forked, not its process: a child started from a thread that ends is killed.
  `flows.processes.children.start_child` therefore forks from one thread that never ends.
- The parent may have exited before the signal is set. `--parent` names the expected parent; without it the nearest
  launched ancestor (CANDLEWORKS_LAUNCHED_PID, set here for the generations below) must still be alive.
"""

from __future__ import annotations

import os
import signal
import sys

LAUNCHED_PID = "CANDLEWORKS_LAUNCHED_PID"
PR_SET_PDEATHSIG = 1
EXIT_PARENT_GONE = 125
EXIT_USAGE = 2
EXIT_NOT_FOUND = 127


def set_parent_death_signal(death_signal: signal.Signals) -> None:
    """Ask the kernel to send `death_signal` to this process when the thread that forked it ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    # Imported here: on other systems the import would be useless.
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl(PR_SET_PDEATHSIG): {os.strerror(error)}")


def parent_is_gone(expected_parent: int | None) -> bool:
    """Whether the process that wanted this child has exited. Call only after the signal has been set."""
    if expected_parent is not None:
        return os.getppid() != expected_parent
    ancestor = os.environ.get(LAUNCHED_PID, "")
    if not ancestor.isdigit():
        return False
    try:
        os.kill(int(ancestor), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def parse(arguments: list[str]) -> tuple[signal.Signals, int | None, list[str]]:
    """Split the launcher's own options from the command. Written by hand: argparse would double the start-up time.

    Raises:
        ValueError: with a one-line message when the options are wrong or no command is given.
    """
    death_signal, parent = signal.SIGKILL, None
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option == "--":
            break
        if option not in ("--signal", "--parent") or not rest:
            raise ValueError(f"unknown or incomplete option {option}; known: --signal NAME, --parent PID")
        value = rest.pop(0)
        if option == "--parent":
            parent = int(value)
        else:
            death_signal = signal.Signals[f"SIG{value.upper().removeprefix('SIG')}"]
    if not rest:
        raise ValueError("no command given; usage: launcher [--signal KILL] [--parent PID] [--] COMMAND ...")
    return death_signal, parent, rest


def main(arguments: list[str]) -> int:
    """Set the parent-death signal and become the command; returns an exit code only if that is impossible."""
    try:
        death_signal, parent, command = parse(arguments)
    except (ValueError, KeyError) as error:
        print(f"launcher: {error}", file=sys.stderr)  # noqa: T201 - no logging before exec
        return EXIT_USAGE
    set_parent_death_signal(death_signal)
    if parent_is_gone(parent):
        return EXIT_PARENT_GONE
    os.environ[LAUNCHED_PID] = str(os.getpid())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"launcher: cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return EXIT_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
