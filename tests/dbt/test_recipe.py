"""The recipe of dbt/README.md, followed in a copy of the project: a new column and a new group, no Python edited."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from built import BUILD_CANDLES, Built, Table, by_series, configure, load

from flows import transform

CANDLES = (
    "SELECT timestamp '2024-01-01' + to_hours(i) AS open_time, 100 + sin(i) AS open, 102 + sin(i) AS high, "
    "98 + sin(i) AS low, 100 + sin(i + 1) AS close, 1 + i % 7 AS volume FROM range(400) AS r (i)"
)
NEW_GROUP_SQL = """with

lists as (

    select * from {{ ref('int_candles__lists') }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_cmo(close, 9)) as cmo_9
    from lists

),

final as (

    select
        candle_id,
        {{ feature('chande_momentum_9', 'cmo_9 / 100') }}
    from indicators

)

select * from final
"""


def column_yaml(name: str, group: str) -> str:
    return (
        f"      - name: {name}\n        description: A new column.\n        config:\n"
        f"          meta: {{group: {group}, formula: f, unit: share, lookback: 190, relative: true}}\n"
    )


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def follow_the_recipe(project: Path) -> None:
    features = project / "models" / "intermediate" / "features"
    # a new column in an existing group
    for file, place, new in (
        ("int_features__rsi.sql", "        unnest(ta_rsi(close, 6))", "        unnest(ta_rsi(close, 9)) as rsi_9,\n"),
        ("int_features__rsi.sql", "        {{ feature('rsi_6'", "        {{ feature('rsi_9', 'rsi_9 / 100') }},\n"),
        ("int_features__rsi.yml", "      - name: rsi_6\n", column_yaml("rsi_9", "rsi")),
    ):
        replace(features / file, place, new + place)
    # a new group
    (features / "int_features__chande.sql").write_text(NEW_GROUP_SQL, "utf-8")
    head = "version: 2\n\nmodels:\n  - name: int_features__chande\n    description: New.\n    columns:\n"
    (features / "int_features__chande.yml").write_text(head + column_yaml("chande_momentum_9", "chande"), "utf-8")
    replace(project / "dbt_project.yml", "    - calendar\n", "    - calendar\n    - chande\n")
    with (project / "models" / "marts" / "candles" / "fct_features.yml").open("a", encoding="utf-8") as contract:
        for name in ("rsi_9", "chande_momentum_9"):
            contract.write(f"      - {{name: {name}, data_type: double}}\n")


def features(built: Built) -> Table:
    with built.warehouse.connect() as connection:
        return by_series(connection, "fct_features")["A/USDT", "1h"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "dbt"
    shutil.copytree(transform.PROJECT, copy)
    monkeypatch.setattr(transform, "PROJECT", copy)
    return copy


def test_the_recipe_adds_columns_to_all_rows_of_a_warehouse_in_use(
    project: Path, make_built: Callable[[str], Built]
) -> None:
    built = make_built("recipe")
    with built.warehouse.connect() as connection:
        configure(connection, "A")
        load(connection, "A", CANDLES, 1)
    built.run(BUILD_CANDLES)
    before = features(built)
    follow_the_recipe(project)
    # no new candle and no --full-refresh: the changed SQL alone has the table rebuilt
    built.run(BUILD_CANDLES)
    after = features(built)
    assert set(after) - set(before) == {"rsi_9", "chande_momentum_9"}
    for column in ("rsi_9", "chande_momentum_9"):
        # 400 candles, defined from the 190th on
        assert (after[column] == after[column]).sum() == 211
        assert built.catalogue[column]["lookback"] == 190
    assert built.catalogue["chande_momentum_9"]["group"] == "chande"
    # Chande's momentum is the relative strength index on another scale
    assert after["chande_momentum_9"][-1] == pytest.approx(2 * after["rsi_9"][-1] - 1)
