"""Keeps the log records of a block of code from every handler: libraries log addresses with the tokens in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _State(threading.local):
    lines: list[str] | None = None


_state = _State()
_installing = threading.Lock()
_is_installed = False


def _install() -> None:
    """Wrap the factory of log records, once per process: threads that are capturing end in any order."""
    global _is_installed  # noqa: PLW0603 - the factory is one per process
    with _installing:
        if _is_installed:
            return
        create = logging.getLogRecordFactory()

        def create_or_capture(*arguments: Any, **options: Any) -> logging.LogRecord:
            record = create(*arguments, **options)
            if _state.lines is not None:
                _state.lines.append(_text(record))
                record.levelno = -1  # below NOTSET: no handler takes it
                record.msg, record.args, record.exc_info, record.stack_info = "", None, None, None
            return record

        logging.setLogRecordFactory(create_or_capture)
        _is_installed = True


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit the text: a fault of the library
        return str(record.msg)


@contextmanager
def captured_logs() -> Iterator[list[str]]:
    """Within, the log records of this thread go to no handler, but into the list."""
    _install()
    lines: list[str] = []
    _state.lines = lines
    try:
        yield lines
    finally:
        _state.lines = None
