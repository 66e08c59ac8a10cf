"""Prefect tasks: parts of a flow that are shown individually."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE

_P = ParamSpec("_P")
_Answer = TypeVar("_Answer")


def task(name: str, function: Callable[_P, _Answer], run_name: str | None = None) -> Task[_P, _Answer]:
    """A task without cache and stored result: finished work is found in the store, and a cache would skip due work."""
    return Task(function, name=name, task_run_name=run_name, cache_policy=NO_CACHE, persist_result=False)


def block(name: str, work: Callable[[], _Answer]) -> _Answer:
    """Run one block of work as a task of its own."""
    return task(name, work)()
