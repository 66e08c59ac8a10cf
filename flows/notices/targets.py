"""Targets: how a message is handed over, and the result of that."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypedDict

from filelock import FileLock, Timeout

from flows.messages import FieldValue
from flows.notices.captured import captured_logs
from flows.notices.outbox import Result
from flows.settings import NoticeSettings, TargetSettings
from flows.webhook import post_json

_NO_ADDRESS = "its address is not set: set {} in the environment of the program that sends"


class Message(TypedDict):
    """A message as JSON, for files and webhooks."""

    id: str
    kind: str
    time: str
    text: str
    fields: Mapping[str, FieldValue]


@dataclass(frozen=True)
class Delivery:
    """How a send ended.

    Attributes:
        result: sent; failed: nothing was taken; unknown: it was handed over, and may have arrived.
        detail: the cause in a few words, without any address.
        is_down: whether the target did not answer at all, so that other messages would fare alike.
    """

    result: Result
    detail: str = ""
    is_down: bool = False


class Sender(Protocol):
    """Sends to one target.

    Attributes:
        problem: why nothing can be sent, with the remedy; empty if it can.
        is_repeatable: whether the same message may be sent again without arriving twice.
    """

    problem: str
    is_repeatable: bool

    def send(self, message: Message) -> Delivery:
        """Hand over a message; never raises for the target's faults."""


class ConsoleSender:
    """Prints messages on standard error: standard output belongs to the tables and JSON of commands."""

    problem = ""
    is_repeatable = False

    def send(self, message: Message) -> Delivery:
        """Print the text in one line."""
        try:
            sys.stderr.write(f"{message['text']}\n")
            sys.stderr.flush()
        except (OSError, ValueError) as error:
            return Delivery("failed", f"standard error cannot be written ({type(error).__name__})", is_down=True)
        return Delivery("sent")


class FileSender:
    """Appends messages to a file, one JSON object per line; a message that is there already is not added again."""

    problem = ""
    is_repeatable = True

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds

    def send(self, message: Message) -> Delivery:
        """Append the message."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=self._timeout_seconds), self._path.open("a+b") as file:
                file.seek(0)
                content = file.read()
                if not _has_message(content, message["id"]):
                    # The last line of a writer that died, or that found the disk full, is not complete.
                    start = b"\n" if content and not content.endswith(b"\n") else b""
                    file.write(start + json.dumps(message, ensure_ascii=False).encode() + b"\n")
        except Timeout:
            return Delivery("failed", "another process holds its lock", is_down=True)
        except OSError as error:
            return Delivery("failed", error.strerror or type(error).__name__, is_down=True)
        return Delivery("sent")


def _has_message(content: bytes, name: str) -> bool:
    """Whether a complete line of a file holds the message with an id."""
    wanted = name.encode()
    for line in content.split(b"\n"):
        if wanted in line:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and found.get("id") == name:
                return True
    return False


class WebhookSender:
    """POSTs messages as JSON; the header Idempotency-Key is the id of the event."""

    is_repeatable = False

    def __init__(self, url: str, variable: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self.problem = "" if url else _NO_ADDRESS.format(variable)
        if url and not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
            self.problem = f"its address is no URL: {variable} must begin with https:// or http://"

    def send(self, message: Message) -> Delivery:
        """POST the message."""
        headers = {"Idempotency-Key": message["id"]}
        answer = post_json(self._url, json.dumps(message), self._timeout_seconds, headers)
        match answer.state:
            case "taken":
                return Delivery("sent")
            case "unanswered":
                return Delivery("unknown", answer.reason, is_down=True)
            case _:
                return Delivery("failed", answer.reason, is_down=answer.state == "unreachable")


class AppriseSender:
    """Sends by apprise, which has one plugin per service. Each target is one service, so that each has its result."""

    is_repeatable = False

    def __init__(self, url: str, variable: str, timeout_seconds: float) -> None:
        self.problem = "" if url else _NO_ADDRESS.format(variable)
        if not url:
            return
        import apprise  # noqa: PLC0415 - loads its plugins

        with captured_logs():
            # One call in this thread: whether it succeeded, and why not, is that of this target.
            self._service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
            try:
                is_known = self._service.add(url)
            except Exception:  # of a plugin that meets an address it did not expect: its text may have it
                is_known = False
        if not is_known or len(self._service.servers) != 1:
            self.problem = f"its address is not that of one service that apprise knows: correct {variable}"
            return
        server = self._service.servers[0]
        # Apprise's own repetitions cannot tell a refused message from one that arrived without an answer.
        server.retry = 0
        server.socket_connect_timeout = server.socket_read_timeout = timeout_seconds
        # Its own, at the level at which plugins log the cause of a failure, with any level of the program's logs.
        server.logger = logging.Logger("apprise", logging.DEBUG)

    def send(self, message: Message) -> Delivery:
        """Have apprise send the text."""
        with captured_logs() as lines:
            try:
                is_sent = self._service.notify(body=message["text"])
            except Exception as error:  # of a plugin: its text may have the address, its type has not
                return Delivery("unknown", type(error).__name__)
        return Delivery("sent") if is_sent else _apprise_failure("\n".join(lines))


# What apprise and requests log about a failed request; apprise itself answers False for all of them.
_NO_ANSWER = re.compile(r"read timed out|readtimeout|connection aborted|remote end closed|reset by peer", re.IGNORECASE)
_NO_CONNECTION = re.compile(r"connection error|socket exception|max retries exceeded|timed out", re.IGNORECASE)
_STATUS = re.compile(r"error=(\d{3})\b")


def _apprise_failure(log: str) -> Delivery:
    if status := _STATUS.search(log):
        return Delivery("failed", f"it answers {status[1]}")
    if _NO_ANSWER.search(log):
        return Delivery("unknown", "it did not answer", is_down=True)
    if _NO_CONNECTION.search(log):
        return Delivery("failed", "it cannot be reached", is_down=True)
    return Delivery("failed", "the service did not take it")


def make_sender(target: TargetSettings, settings: NoticeSettings) -> Sender:
    """The sender of a target, with its address from the environment."""
    secret = settings.urls.get(target.name)
    url = secret.get_secret_value() if secret else ""
    match target.kind:
        case "console":
            return ConsoleSender()
        case "file":
            return FileSender(Path(target.path), settings.timeout_seconds)
        case "webhook":
            return WebhookSender(url, target.variable, settings.timeout_seconds)
        case "apprise":
            return AppriseSender(url, target.variable, settings.timeout_seconds)


def trial_message(target: str, now: datetime) -> Message:
    """The message of `candleworks notices --test`."""
    text = f"Test message of Candleworks for the target {target}."
    return {"id": f"test-{now:%Y%m%dT%H%M%S%f}", "kind": "test", "time": now.isoformat(), "text": text, "fields": {}}
