"""dbt's own answers with the shortcuts and without them."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.warehouse

ANSWERS = """
import io, json
from datetime import datetime
from dbt.clients.jinja import MacroGenerator, MacroStack
from dbt.context.macros import MacroNamespace
from dbt_common.clients.agate_helper import table_from_data_flat
from dbt_common.utils.encoding import JSONEncoder
from flows.warehouse.dbt_shortcuts import take_shortcuts

def answers():
    def macros(place, *names):
        return {name: MacroGenerator(f"{name} of {place}", {"a": place}, "node", stack) for name in names}

    stack = MacroStack()
    ours, root, package, dbt = macros("ours", "a"), macros("root", "a", "b"), macros("p", "d"), macros("dbt", *"abce")
    namespace = MacroNamespace(root, ours, dbt, {"package": {**package, **macros("p", "c")}})
    table = {}
    table.update(namespace)
    found = {name: vars(made) for name, made in table.items() if isinstance(made, MacroGenerator)}
    within = [[name, sorted(table[name])] for name in sorted(table.keys() - found.keys())]
    assert all(made.pop("stack") is stack for made in found.values())
    one = [namespace.get_from_package(place, "c").macro for place in (None, "dbt", "package")]
    file = io.StringIO()
    json.dump({"at": datetime(2024, 1, 2), "text": "\u00e4", "n": [1, 2.5, None]}, file, cls=JSONEncoder)
    rows = table_from_data_flat([{"n": 1, "day": "2024-01-02", "text": "x"}], ["n", "day", "text"])
    types = [type(column.data_type).__name__ for column in rows.columns]
    known = [len(namespace), "e" in namespace, "f" in namespace]
    return [sorted(found.items()), within, known, one, file.getvalue(), types]

plain = answers()
take_shortcuts()
print([plain, answers()])
"""

#: Run after them.
EVENTS = """
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.types import Formatting, Note, SystemExecutingCmd

manager, heard = EventManager(), []
manager.callbacks.append(lambda event: heard.append((event.info.level, event.info.name, event.info.msg)))
manager.fire_event(SystemExecutingCmd(cmd=["one"]))                         # of the level debug
manager.fire_event(SystemExecutingCmd(cmd=["two"]), level=EventLevel.WARN)  # raised from it
manager.fire_event(Note(msg="three"))
manager.fire_event(Note(msg="four"), level=EventLevel.DEBUG)
manager.fire_event(Formatting("five"))
print(heard)
"""


@pytest.fixture(scope="module")
def said() -> list[Any]:
    """What a process of its own prints, a line for each part: the shortcuts stay for good."""
    code = ANSWERS + EVENTS
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


def test_macros_tables_and_artefacts_are_those_of_dbt(said: list[Any]) -> None:
    plain, quick = said[0]
    assert quick == plain
    macros, within, *_ = plain
    assert {name: made["macro"] for name, made in macros} == {
        "a": "a of ours",
        "b": "b of root",
        "c": "c of dbt",
        "e": "e of dbt",
    }
    assert [name for name, _ in within] == ["dbt", "package"]


def test_only_what_a_log_takes_becomes_a_message(said: list[Any]) -> None:
    heard = said[1]
    assert [(level, name) for level, name, _ in heard] == [
        ("warn", "SystemExecutingCmd"),
        ("info", "Note"),
        ("info", "Formatting"),
    ]
    assert '"two"' in heard[0][2] and heard[1][2] == "three" and heard[2][2] == "five"
