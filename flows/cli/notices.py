"""Notices: the messages in the outbox, a check between runs, a test of the targets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.reporting import Terminal
from flows.terminal.output import print_records, terminal

#: Rows of the table; JSON has all.
SHOWN = 50


@application.command()
def notices(
    test: Annotated[bool, typer.Option("--test", help="Send a test message to each target; say which failed.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look for alarms in the published snapshot and send the messages due.")
    ] = False,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the messages to all targets with their states; exit code 1 where one is given up or may not have arrived."""
    from flows.notices.send import NOT_ARRIVED, notice_records, require_targets, send_trials  # noqa: PLC0415
    from flows.notices.send import check as run_check  # noqa: PLC0415

    opened, now = workspace(home, config), datetime.now(UTC)
    if test:
        require_targets(opened.settings.notices)
        trials = send_trials(opened.settings.notices, now)
        print_records(trials, as_json, title="Test messages")
        raise typer.Exit(int(any(record["state"] != "sent" for record in trials)))
    if check:
        require_targets(opened.settings.notices)
        done = run_check(opened, now)
        for line in done.warnings:
            Terminal(stderr=True).print(
                f"Warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True
            )
        if as_json:
            print_records([{"sent": done.sent, "warnings": done.warnings}], as_json, title="Check")
        else:
            begun = f"; begun with {', '.join(done.begun)}" if done.begun else ""
            terminal().print(f"{done.sent} messages sent{begun}", highlight=False)
        raise typer.Exit(int(bool(done.warnings)))
    records = notice_records(opened, now)
    columns = ("time", "target", "state", "attempts", "detail", "text")
    print_records(records if as_json else records[:SHOWN], as_json, title="Notices", columns=columns)
    if any(record["state"] in NOT_ARRIVED for record in records):
        raise typer.Exit(1)
