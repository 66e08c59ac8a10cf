"""Running flows from a terminal: with the Prefect server of `candleworks up`, or a temporary one for the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console

from flows.reporting import SILENT, Reporter, TerminalReporter
from flows.server.api import require_home_secret
from flows.server.prefect_server import local_prefect_server, prefect_environment, prefect_settings
from flows.server.up import running_server
from flows.workspace.workspace import Workspace

#: Our own errors reach the terminal as one line; Prefect would add its traceback to each of them.
QUIET = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false"}


@contextmanager
def run_flow(workspace: Workspace, console: Console, *, quiet: bool = False) -> Iterator[Callable[..., Any]]:
    """Yield ``run(name, work, *arguments)``, which calls ``work(workspace, *arguments, reporter)`` as a flow.

    Args:
        workspace: must be writable.
        console: where the progress is shown.
        quiet: show no progress.

    Raises:
        ServiceError: no server could be started, or the running one does not require this home's secret.
        StoreError: home or store cannot be written.
    """
    workspace.check_writable()
    with ExitStack() as stack:
        reporter: Reporter = SILENT
        if not quiet:
            reporter = stack.enter_context(TerminalReporter(console))
        with reporter.step("prefect server") as step:
            running = running_server(workspace.home)
            if running is None:
                stack.enter_context(local_prefect_server(workspace.home))
            else:
                require_home_secret(running, workspace.home)
                step.say(f"the one of `candleworks up` at {running}")
                stack.enter_context(prefect_settings(prefect_environment(workspace.home, running)))
        stack.enter_context(prefect_settings(QUIET))
        from prefect import flow  # noqa: PLC0415 - reads its settings when it is imported

        def run(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
            return flow(name=name)(lambda: work(workspace, *arguments, reporter))()

        yield run
