"""Targets: console, file, webhook and apprise, and that no log, result or error has their addresses."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from flows.notices.captured import captured_logs
from flows.notices.delivery import deliver
from flows.notices.outbox import Outbox
from flows.notices.send import send_trials
from flows.notices.targets import Delivery, Message, make_sender
from flows.settings import NoticeSettings
from ml.store import Store
from tests.flows.hooks import SECRET, Hook
from tests.flows.notices.conftest import T0, at, fill_event, notice_settings

# Apprise loads all of its plugins, one of which loads a module that Python will drop.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
WORD = "very-secret"
MESSAGE: Message = {"id": "a-1", "kind": "stale", "time": T0.isoformat(), "text": "BTC ▲", "fields": {"symbol": "BTC"}}


def to(kind: str, url: str = "", **changed: object) -> NoticeSettings:
    path = {"path": str(changed.pop("path"))} if "path" in changed else {}
    urls = {"one": url} if url else {}
    return notice_settings({"name": "one", "kind": kind, **path}, urls=urls, timeout_seconds=2, **changed)


def send(settings: NoticeSettings, message: Message = MESSAGE) -> Delivery:
    sender = make_sender(settings.targets[0], settings)
    assert sender.problem == ""
    return sender.send(message)


def problem(settings: NoticeSettings) -> str:
    return make_sender(settings.targets[0], settings).problem


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes requests and closes the connection without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_console_gets_the_text_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert send(to("console")) == Delivery("sent")
    assert capsys.readouterr() == ("", "BTC ▲\n")


def test_a_file_gets_one_json_object_per_line_and_no_message_twice(tmp_path: Path) -> None:
    settings = to("file", path=tmp_path / "new" / "notices.jsonl")
    path = Path(settings.targets[0].path)
    other: Message = {**MESSAGE, "id": "a-2"}
    for message in (MESSAGE, other, MESSAGE):
        assert send(settings, message) == Delivery("sent")
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [MESSAGE, other]


def test_a_line_that_a_dead_writer_left_incomplete_does_not_count(tmp_path: Path) -> None:
    settings = to("file", path=tmp_path / "notices.jsonl")
    path = Path(settings.targets[0].path)
    path.write_text(json.dumps(MESSAGE)[:30], "utf-8")
    assert send(settings) == send(settings) == Delivery("sent")
    first, second = path.read_text("utf-8").splitlines()
    assert (first, json.loads(second)) == (json.dumps(MESSAGE)[:30], MESSAGE)


def test_a_file_that_cannot_be_written_is_a_failure_without_its_path(tmp_path: Path) -> None:
    (tmp_path / WORD).mkdir()
    assert send(to("file", path=tmp_path / WORD)) == Delivery("failed", "Is a directory", is_down=True)
    settings = notice_settings({"name": "one", "kind": "file", "path": str(tmp_path / "a")}, timeout_seconds=0.01)
    with FileLock(tmp_path / "a.lock"):
        assert send(settings) == Delivery("failed", "another process holds its lock", is_down=True)


def test_a_webhook_gets_json_with_the_id_as_key(hook: Hook) -> None:
    assert send(to("webhook", hook.url)) == Delivery("sent")
    assert (hook.taken, hook.keys) == ([MESSAGE], ["a-1"])
    assert hook.methods == [f"POST {SECRET} application/json"]


@pytest.mark.parametrize("kind", ["webhook", "apprise"])
def test_answers_and_their_results(kind: str, hook: Hook) -> None:
    """A message without an answer may have arrived; one that was refused, or never left, did not."""
    url = hook.url if kind == "webhook" else hook.url.replace("http", "json", 1)
    redirects = (302,) if kind == "webhook" else ()  # plugins of apprise may follow them
    for status in (*redirects, 400, 404, 500, 503):
        hook.status = status
        assert send(to(kind, url)) == Delivery("failed", f"it answers {status}")
    if kind == "webhook":  # apprise takes the two like any other status
        for status in (408, 504):
            hook.status = status
            assert send(to(kind, url)) == Delivery("unknown", f"it answers {status}", is_down=True)
    taken = len(hook.taken)
    hook.answer = lambda _: 0
    assert send(to(kind, url)).result == "unknown"
    assert len(hook.taken) == taken + 1
    scheme = "http" if kind == "webhook" else "json"
    with silent_port() as port:
        delivery = send(to(kind, f"{scheme}://127.0.0.1:{port}{SECRET}"))
        assert (delivery.result, delivery.is_down) == ("unknown", True)
    delivery = send(to(kind, f"{scheme}://127.0.0.1:{closed_port()}{SECRET}"))
    assert (delivery.result, delivery.is_down) == ("failed", True)


def test_apprise_sends_once_whatever_repetitions_the_address_asks_for(hook: Hook) -> None:
    url = hook.url.replace("http", "json", 1)
    assert send(to("apprise", url)) == Delivery("sent")
    assert hook.taken[0]["message"] == "BTC ▲"
    hook.status = 500
    assert send(to("apprise", f"{url}?retry=3")) == Delivery("failed", "it answers 500")
    assert len(hook.taken) == 2


def test_a_target_without_a_usable_address_says_which_variable_to_set() -> None:
    for kind in ("webhook", "apprise"):
        missing = problem(to(kind))
        assert missing == (
            "its address is not set: set CANDLEWORKS_NOTICES__ONE_URL in the environment of the program that sends"
        )
    for url in (WORD, f"ftp://{WORD}", f"http:///{WORD}", f"http://\n{WORD}"):
        found = problem(to("webhook", url))
        assert found == "its address is no URL: CANDLEWORKS_NOTICES__ONE_URL must begin with https:// or http://"
    # Two services in one address: one answer could not say which of them failed.
    for url in (WORD, f"nosuch://{WORD}", f"json://a/{WORD},json://b/{WORD}"):
        found = problem(to("apprise", url))
        assert found.startswith("its address is not that of one service that apprise knows")
        assert WORD not in found


@pytest.mark.parametrize("kind", ["webhook", "apprise"])
def test_no_address_is_logged_or_stored(
    kind: str, store: Store, hook: Hook, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    scheme = "http" if kind == "webhook" else "json"
    urls = [
        hook.url.replace("http", scheme, 1),
        f"{scheme}://127.0.0.1:{closed_port()}{SECRET}",
        f"{scheme}://user:{WORD}@127.0.0.1:{closed_port()}/",
        f"{scheme}://[{WORD}",
        WORD,
    ]
    with caplog.at_level(logging.DEBUG):
        for status in (204, 404):
            hook.status = status
            for n, url in enumerate(urls):
                settings = to(kind, url)
                outbox = Outbox(store)
                deliver(outbox, settings, at(n))
                outbox.record([fill_event(f"{status} {n}")], (), at(n + 0.5))
                deliver(outbox, settings, at(n + 0.6))
                for record in send_trials(settings, T0):
                    assert WORD not in str(record)
                assert WORD not in repr(settings) + settings.model_dump_json()
    assert hook.taken
    assert WORD not in caplog.text + "".join(capfd.readouterr())
    assert all(WORD.encode() not in store.read(path) for path in store.list("notices"))


def test_the_logs_of_other_threads_and_later_ones_are_not_kept_back(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("of.a.library")
    with caplog.at_level(logging.DEBUG), captured_logs() as lines:
        logger.error("token %s", WORD)
        logger.error("%d", "no number")
        thread = threading.Thread(target=logger.warning, args=("other",))
        thread.start()
        thread.join()
    logger.warning("later")
    assert lines == [f"token {WORD}", "%d"]
    assert [record.getMessage() for record in caplog.records] == ["other", "later"]


def test_a_test_message_goes_to_each_target_and_says_which_failed(
    store: Store, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.status = 500
    targets = [{"name": name, "kind": kind} for name, kind in (("a", "console"), ("b", "webhook"), ("c", "apprise"))]
    records = send_trials(notice_settings(*targets, urls={"b": hook.url}), T0)
    assert [(record["target"], record["state"]) for record in records] == [
        ("a", "sent"), ("b", "failed"), ("c", "failed")
    ]  # fmt: skip
    assert records[1]["detail"] == "it answers 500"
    assert "CANDLEWORKS_NOTICES__C_URL" in records[2]["detail"]
    assert "Test message of Candleworks for the target a." in capsys.readouterr().err
    assert len(hook.taken) == 1
