"""A port in use is named with its remedy; a stranger's server is not taken for ours."""

from __future__ import annotations

import http.server
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.processes.children import start_child, stop_child
from flows.processes.ports import HOST, answers, free_port, listens, port_is_free, require_free_port, wait_for_answer
from ml.errors import ServiceError


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a web server that belongs to somebody else than the child under test."""
    server = http.server.ThreadingHTTPServer((HOST, 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.do_GET = lambda handler: handler.send_error(404)  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_port_in_use_is_named_in_one_line_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ServiceError) as caught:
            require_free_port(port, "the app", "--app-port")

    assert str(caught.value) == (
        f"Port {port} for the app is in use: end what listens there (`candleworks down` if it was ours), "
        "or choose another with --app-port."
    )
    assert caught.value.exit_code == 2
    require_free_port(port, "the app", "--app-port")


def test_a_free_port_is_free() -> None:
    assert port_is_free(free_port())


def test_a_page_that_is_missing_is_no_answer(stranger: int) -> None:
    assert not answers(f"http://{HOST}:{stranger}/")
    assert not answers(f"http://{HOST}:{free_port()}/")


@pytest.mark.e2e
def test_only_the_process_itself_counts_as_listening(stranger: int) -> None:
    child = start_child([sys.executable, "-c", "import time; time.sleep(120)"])
    try:
        assert listens(os.getpid(), stranger)
        assert not listens(child.pid, stranger)
        with pytest.raises(ServiceError, match=r"The server did not answer in 0 s"):
            wait_for_answer(child, stranger, "server", limit_seconds=0.2)
    finally:
        stop_child(child)


@pytest.mark.e2e
def test_a_server_that_ended_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log_path = tmp_path / "server.log"
    child = start_child([sys.executable, "-c", "import sys; sys.exit('no such setting')"], log_path=log_path)

    with pytest.raises(ServiceError, match=r"(?s)The server ended with exit code 1 .*no such setting"):
        wait_for_answer(child, free_port(), "server", log_path=log_path)
