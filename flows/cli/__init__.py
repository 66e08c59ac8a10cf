"""The command line. Each module of this package holds the commands of one subject; `main` is the program.

Exit codes: 0 done; 1 something did not hold (a check failed, a run had a failure); 2 bad input or a thing in the way,
told in one line with the remedy. Anything else is a defect and shows its traceback.
"""

from __future__ import annotations

import sys

# Importing a module registers its commands.
from flows.cli import canary, demo, evidence, promotion, rehearsal, seals, services, settings, steps, tables
from flows.cli.application import application

#: How --help groups the commands, in this order: by what people come for.
PANELS = {
    "Start here": (demo, settings, services),
    "Look": (tables, promotion),
    "Single steps": (steps,),
    "Trust": (seals,),
    "Studies": (canary, evidence, rehearsal),
}


def _group_commands() -> None:
    panels = {module.__name__: panel for panel, modules in PANELS.items() for module in modules}
    order = list(panels)
    commands = application.registered_commands
    commands.sort(key=lambda command: order.index(getattr(command.callback, "__module__", "")))
    for command in commands:
        command.rich_help_panel = panels[getattr(command.callback, "__module__", "")]


_group_commands()

#: What the shell calls a program that was ended by Ctrl-C.
INTERRUPTED = 130


def main() -> None:
    """Run the program and turn errors with a remedy into one line and an exit code."""
    # Imported here so that `candleworks --help` needs nothing but the command line.
    from rich.console import Console  # noqa: PLC0415

    from ml.errors import CandleworksError  # noqa: PLC0415

    try:
        application()
    except CandleworksError as error:
        console = Console(stderr=True)
        for line in error.lines():
            console.print(f"candleworks: {line}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            Console(stderr=True).print("Stopped. What is done is kept: the same command goes on from here.")
        raise
