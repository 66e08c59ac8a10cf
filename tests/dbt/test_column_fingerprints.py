"""A fingerprint per column: it changes with what the column says, and with nothing else."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built import Built, configure, load

from flows.warehouse import transform
from flows.warehouse.dbt_process import kept
from tests.partial_builds.worlds import CANDLES

pytestmark = [pytest.mark.warehouse, pytest.mark.usefixtures("small_dbt")]
Prints = dict[tuple[str, str], str]
GROUPS = ("range", "returns", "rsi", "volatility", "volume", "market_context")
RUN = ["run", "--select", *(f"+int_features__{group}" for group in GROUPS), "+fct_labels"]
FEATURES = "models/intermediate/features/int_features__"

VOLUME = {
    "volume",
    "volume_ratio_24",
    "volume_zscore_24",
    "obv_share_24",
    "money_flow_index_14",
    "leader_volume_ratio_24",
}
#: File, old and new text: edits after which every value is what it was.
HARMLESS = (
    (
        f"{FEATURES}range.sql",
        "    select\n        candle_id,\n        {{",
        "    select   candle_id, /* its number */\n{{",
    ),
    (f"{FEATURES}rsi.sql", "with\n", "-- Wilder (1978)\nWITH\n"),
    (f"{FEATURES}rsi.yml", "description:", "description: Rewritten."),
    ("models/marts/candles/fct_labels.sql", "-- a run of candles", "-- and so on: a run of candles"),
    ("models/intermediate/candles/int_candles__resampled.sql", "with\n", "-- candles of candles\nwith\n"),
    ("plugins/window_functions.py", "-> Floats:\n", "-> Floats:\n    # not a word\n"),
    ("macros/tails.sql", "{#-", "{#- Another comment. -#}\n{#-"),
)
#: ... and edits after which columns say something else, with these columns.
HARMFUL = (
    (f"{FEATURES}range.sql", "window_mean(high_run, 6)", "window_mean(high_run, 7)", {"range_high_mean_6"}),
    # Another lookback: other rows are null, also in the column of the reference market.
    (f"{FEATURES}rsi.yml", "unit: share, lookback: 300", "unit: share, lookback: 310", {"rsi_14", "leader_rsi_14"}),
    (
        "dbt_project.yml",
        "label_highlow2_threshold: 0.03",
        "label_highlow2_threshold: 0.04",
        {"label_high_first", "label_low_first"},
    ),
    # Another formula of the candles: all that is made of it, and nothing that is made of prices.
    ("models/marts/candles/fct_candles.sql", "        volume,\n", "        2 * volume as volume,\n", VOLUME),
)


@pytest.fixture
def loaded_plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the plugins, as dbt finds it."""
    monkeypatch.syspath_prepend(transform.dbt_project() / "plugins")
    return importlib.import_module


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that is edited."""
    copy = tmp_path_factory.mktemp("lineage") / "dbt"
    shutil.copytree(transform.dbt_project(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def world(make_built: Callable[[str], Built]) -> Built:
    built = make_built("lineage")
    with built.warehouse.connect() as connection:
        configure(connection, "BTC", "A")
        load(connection, "BTC", CANDLES.format(price=100, first=0, last=300), 1)
        load(connection, "A", CANDLES.format(price=7, first=0, last=300), 2)
    return built


def prints(built: Built) -> Prints:
    with built.warehouse.connect() as connection:
        rows = connection.execute(
            "select table_name, column_name, comment from duckdb_columns() where comment like 'fingerprint %'"
        ).fetchall()
    return {(table, column): comment for table, column, comment in rows}


def changed(before: Prints, after: Prints) -> set[str]:
    assert before.keys() == after.keys()
    return {column for table, column in before if before[table, column] != after[table, column]}


def edit(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    text = path.read_text("utf-8")
    assert old in text, (file, old)
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_a_fingerprint_follows_what_a_column_says_and_nothing_else(
    world: Built, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(transform.PROJECT_VARIABLE, str(project))
    with kept(world.place):
        world.run(RUN)
        first = prints(world)
        assert {f"int_features__{group}" for group in GROUPS} | {"fct_labels", "fct_candles"} <= {t for t, _ in first}
        assert len(set(first.values())) > 0.9 * len(first)
        with world.warehouse.connect() as connection:
            load(connection, "A", CANDLES.format(price=7, first=300, last=302), 3)
        world.run(RUN)  # of tails only
        assert changed(first, prints(world)) == set()
    for harmless in HARMLESS:
        edit(project, *harmless)
    for file, old, new, _ in HARMFUL:
        edit(project, file, old, new)
    with kept(world.place):
        world.run(RUN)
    assert changed(first, prints(world)) == set().union(*(columns for *_, columns in HARMFUL))


def test_the_code_of_a_function_is_that_of_all_it_uses_without_comments(loaded_plugins: Any) -> None:
    code_of = loaded_plugins("function_code").code_of
    code = code_of(loaded_plugins("window_functions").window_mean)
    assert "return window_sum(values, rows) / rows" in code and "np.cumsum" in code
    assert "#" not in code and '"""' not in code
    assert code_of(loaded_plugins("vector_functions").vec_lag) != code
    functions = loaded_plugins("candle_functions").list_functions()
    assert " at 0x" not in "".join(code_of(function.kernel) for function in functions)
