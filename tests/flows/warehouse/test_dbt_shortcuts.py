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
from types import SimpleNamespace
from dbt import compilation
from dbt.clients.jinja import MacroGenerator, MacroStack
from dbt.context.macros import MacroNamespace
from dbt_common.clients.agate_helper import table_from_data_flat
from dbt_common.clients.jinja import get_template
from dbt_common.utils.encoding import JSONEncoder
from flows.warehouse.dbt_shortcuts import UPSTREAM_CODE, take_shortcuts

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
    rendered = [
        get_template("{% set b = [a] %}{% do b.append(a) %}{{ b }}", {}, native=native).render({"a": a})
        for native in (False, True) for a in (1, 2)
    ]
    ctes = [compilation.InjectedCTE(id="x", sql=f" x as (select {n})") for n in (1, 2)]
    injected = [
        compilation.inject_ctes_into_sql(sql, list(chosen))
        for sql in ("with a as (select 3) select * from a", "select * from x") for chosen in (ctes[:1], ctes[1:], [])
    ] * 2
    return [sorted(found.items()), within, known, one, file.getvalue(), types, rendered, injected]

plain = answers()
take_shortcuts()
print([plain, answers()])
"""

#: Run after them: each call of a macro, and how often it was made for real.
RECALLED = """
made = []

def called(name, node, seen, execute=True):
    macro = MacroGenerator(SimpleNamespace(unique_id=name), {"execute": execute})
    macro.call_macro = lambda node, seen: made.append(node["unique_id"]) or [name, node["unique_id"], *seen]
    return macro({"unique_id": node}, seen)

told = []
for name, node, seen, execute in (
    (UPSTREAM_CODE, "parsed", [], False), (UPSTREAM_CODE, "parsed", [], True), (UPSTREAM_CODE, "a", [], True),
    (UPSTREAM_CODE, "b", [], True), (UPSTREAM_CODE, "a", ["b"], True), ("another", "c", [], True),
):
    answers_twice = [called(name, node, list(seen), execute) for _ in range(2)]
    told.append([answers_twice[0] == answers_twice[1] == [name, node, *seen], made.count(node)])
    made.clear()
print(told)
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
    code = ANSWERS + EVENTS + RECALLED
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


def test_macros_tables_sql_and_artefacts_are_those_of_dbt(said: list[Any]) -> None:
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


def test_the_code_of_a_model_is_collected_once_and_only_as_a_whole(said: list[Any]) -> None:
    right, made = zip(*said[2], strict=True)
    assert all(right)
    # Not while the project is parsed; once each; not where a part was seen already; no other macro.
    assert made == (2, 1, 1, 1, 2, 2)
