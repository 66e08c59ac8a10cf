"""The command line. Each module of this package holds the commands of one subject; `main` is the program.

Exit codes: 0 success; 1 a negative outcome (a failed check, a run with a failure); 2 bad input or an unmet
precondition, reported in one line with the remedy. Anything else is a defect and shows a traceback.
"""

from __future__ import annotations

import sys

# Importing a module registers its commands.
from flows.cli import (
    analyses,
    backups,
    canary,
    demo,
    evidence,
    http_api,
    notices,
    promotion,
    rehearsal,
    seals,
    services,
    settings,
    signals,
    steps,
    tables,
    trading,
)
from flows.cli.application import application

#: The groups of commands in --help, in this order.
PANELS = {
    "Start here": (demo, settings, services, http_api),
    "Look": (tables, analyses, promotion, notices),
    "Single steps": (steps,),
    "Trust": (seals, backups),
    "Trading": (signals,),
    "Studies": (canary, evidence, trading, rehearsal),
}


def _group_commands() -> None:
    panels = {module.__name__: panel for panel, modules in PANELS.items() for module in modules}
    order = list(panels)
    commands = application.registered_commands
    commands.sort(key=lambda command: order.index(getattr(command.callback, "__module__", "")))
    for command in commands:
        command.rich_help_panel = panels[getattr(command.callback, "__module__", "")]


_group_commands()

#: Exit code of a program that was interrupted by Ctrl-C.
INTERRUPTED = 130


def main() -> None:
    """Run the program and turn expected errors into one line and an exit code."""
    # Imported here so that `candleworks --help` needs nothing but the command line.
    from flows.reporting import Terminal  # noqa: PLC0415
    from ml.errors import CandleworksError  # noqa: PLC0415

    try:
        application()
    except CandleworksError as error:
        console = Terminal(stderr=True)
        for line in error.lines():
            console.print(f"candleworks: {line}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            Terminal(stderr=True).print("Stopped. Finished work is kept: the same command continues from here.")
        raise
