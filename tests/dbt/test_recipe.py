"""The recipe of dbt/README.md, followed in a copy of the project: a new column and a new group, no Python edited."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from built import BUILD_CANDLES, Built, Table, by_series, configure, load
from conventions import breaches

from flows.warehouse import transform
from flows.warehouse.dbt_process import kept
from ml.errors import StoreError

pytestmark = pytest.mark.usefixtures("small_dbt")

CANDLES = (
    "SELECT timestamp '2024-01-01' + to_hours(i) AS open_time, 100 + sin(i) AS open, 102 + sin(i) AS high, "
    "98 + sin(i) AS low, 100 + sin(i + 1) AS close, 1 + i % 7 AS volume FROM range(400) AS r (i)"
)
README = (transform.dbt_project() / "README.md").read_text("utf-8")


def recipe(name: str) -> str:
    """The block of code behind the mark of a step, without the indent of the list that it stands in."""
    found = re.search(rf"^   <!-- recipe:{name} -->\n   ```\w*\n(.*?)   ```", README, re.DOTALL | re.MULTILINE)
    assert found, f"dbt/README.md has no step {name!r}"
    return re.sub(r"^   ", "", found.group(1), flags=re.MULTILINE)


def insert(path: Path, anchor: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(anchor) >= 1, f"{anchor!r} is not in {path}"
    path.write_text(text.replace(anchor, new + anchor, 1), "utf-8")


def add_a_column(features: Path) -> None:
    sql, described = features / "int_features__rsi.sql", features / "int_features__rsi.yml"
    insert(sql, "        unnest(ta_rsi(close, 6))", recipe("indicators"))
    insert(sql, "        {{ feature('rsi_6'", recipe("final"))
    insert(described, "      - name: rsi_6\n", recipe("yaml"))
    text = described.read_text("utf-8")
    head = "" if "unit_tests:" in text else "\nunit_tests:\n"
    described.write_text(text + head + recipe("unit-test"), "utf-8")


def add_a_group(project: Path, features: Path) -> None:
    for suffix, text in NEW_GROUP.items():
        (features / f"int_features__mine{suffix}").write_text(text, "utf-8")
    insert(project / "dbt_project.yml", "    - calendar\n", "    - mine\n")


NEW_GROUP = {
    ".sql": """with

lists as (

    select * from {{ candle_lists() }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_cmo(close, 2)) as cmo_2
    from lists

),

final as (

    select
        candle_id,
        {{ feature('momentum_of_2', 'cmo_2 / 100') }}
    from indicators

)

select * from final
""",
    ".yml": """version: 2

models:
  - name: int_features__mine
    description: Mine; one row per candle.
    columns:
      - name: candle_id
        data_type: bigint
        description: The candle, as in int_candles__lists.
        data_tests: [unique, not_null]
      - name: momentum_of_2
        data_type: double
        description: Chande's momentum of 2 candles, from -1 to 1.
        config:
          meta: {group: mine, formula: "CMO(close, 2) / 100", unit: share, lookback: 45, relative: true}
""",
}


def rsi_yaml(folder: Path) -> str:
    return (folder / "int_features__rsi.yml").read_text("utf-8")


def features_of(built: Built) -> Table:
    with built.warehouse.connect() as connection:
        return by_series(connection, "fct_features")["A/USDT", "1h"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "dbt"
    shutil.copytree(transform.dbt_project(), copy)
    monkeypatch.setenv(transform.PROJECT_VARIABLE, str(copy))
    return copy


@pytest.fixture
def built(project: Path, make_built: Callable[[str], Built]) -> Iterator[Built]:
    """An empty warehouse; dbt stays loaded from run to run as long as nobody edits the project."""
    built = make_built("recipe")
    with kept(built.place):
        yield built


def test_the_recipe_adds_columns_to_all_rows_of_a_warehouse_in_use(project: Path, built: Built, tmp_path: Path) -> None:
    with built.warehouse.connect() as connection:
        configure(connection, "A")
        load(connection, "A", CANDLES, 1)
    built.run(BUILD_CANDLES)
    before = features_of(built)
    mark = "UPDATE intermediate.int_features__returns SET log_return_1 = -99"
    with built.warehouse.connect() as connection:
        connection.execute(mark)
    folder = project / "models" / "intermediate" / "features"
    add_a_column(folder)
    add_a_group(project, folder)
    # no new candle and no --full-refresh: the changed SQL alone has its tables built, with the recipe's unit test
    built.run(BUILD_CANDLES, unit_tests=True)
    after = features_of(built)
    assert set(after) - set(before) == {"rsi_2", "momentum_of_2"}
    for column in ("rsi_2", "momentum_of_2"):
        # 400 candles, defined from the 45th on
        assert (after[column] == after[column]).sum() == 356
        assert built.catalogue[column]["lookback"] == 45
    assert built.catalogue["momentum_of_2"]["group"] == "mine"
    # Chande's momentum is the relative strength index on another scale
    assert after["momentum_of_2"][-1] == pytest.approx(2 * after["rsi_2"][-1] - 1)
    # a group that nobody touched was not built again
    assert set(after["log_return_1"]) == {-99}
    assert breaches(built.target_path / "manifest.json", tmp_path) == set()
    # step 3 by the command of the recipe, and what is said of a test that the SQL does not keep
    alone = recipe("run").split()[1:]
    assert built.run(alone, unit_tests=True).tests == len(re.findall("model: int_features__rsi", rsi_yaml(folder)))
    described = folder / "int_features__rsi.yml"
    described.write_text(rsi_yaml(folder).replace("rsi_2: 0.5}", "rsi_2: 0.6}"), "utf-8")
    said = "SQL of int_features__rsi fails its unit test two_rises_are_full_strength_and_a_fall_halves_it, independent"
    with pytest.raises(StoreError, match=said) as caught:
        built.run(alone, unit_tests=True)
    log = Path(str(caught.value).rpartition(" ")[2])
    assert "0.6→0.5" in log.read_text("utf-8")
    assert built.run(["build", "--select", "int_features__rsi"]).models == 1  # as a flow does: without unit tests
