"""The time-travel test sees leaks: three are planted in a copy of the project, and each of them turns it red."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from built import Built, Table, by_series, configure, load
from test_features import rows_changed_by_later_candles

from flows.warehouse import transform

pytestmark = pytest.mark.usefixtures("small_dbt", "loaded_small_dbt")

CANDLES = (
    "SELECT timestamp '2024-01-01' + to_hours(i) AS open_time, 100 + sin(i) AS open, 103 + sin(2 * i) AS high, "
    "97 + sin(3 * i) AS low, 100 + sin(i + 1) AS close, 1 + i % 7 AS volume FROM range(402) AS r (i)"
)
LEAKS = ("centred_mean_5", "return_of_the_next_candle", "high_of_the_unfinished_larger_candle")
PLANTED_SQL = """with

lists as (

    select * from {{ candle_lists() }}

),

candles as (

    select
        series_id,
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(high) as high,
        unnest(close) as close
    from lists

),

leaking as (

    select
        candle_id,
        run_length,
        close,
        avg(close) over (partition by series_id order by candle_id rows between 2 preceding and 2 following) as centred,
        -- a label is nothing but a later row
        lead(close) over (partition by series_id order by candle_id) as next_close,
        max(high) over (partition by candle_id // 14400000) as larger_high
    from candles

),

final as (

    select
        candle_id,
        {{ feature('centred_mean_5', 'centred / close') }},
        {{ feature('return_of_the_next_candle', 'ln(next_close / close)') }},
        {{ feature('high_of_the_unfinished_larger_candle', 'larger_high / close') }}
    from leaking

)

select * from final
"""


def plant(project: Path) -> None:
    """A group of three columns that know more than they may."""
    features = project / "models" / "intermediate" / "features"
    (features / "int_features__planted.sql").write_text(PLANTED_SQL, "utf-8")
    columns = "".join(
        f"      - name: {name}\n        data_type: double\n        config:\n"
        f"          meta: {{group: planted, formula: f, unit: share, lookback: 1, relative: true}}\n"
        for name in LEAKS
    )
    head = "version: 2\n\nmodels:\n  - name: int_features__planted\n    description: Leaks.\n    columns:\n"
    candle_id = "      - {name: candle_id, data_type: bigint}\n"
    (features / "int_features__planted.yml").write_text(head + candle_id + columns, "utf-8")
    configuration = project / "dbt_project.yml"
    text = configuration.read_text("utf-8")
    assert text.count("    - returns\n") == 1
    configuration.write_text(text.replace("    - returns\n", "    - returns\n    - planted\n"), "utf-8")


@pytest.fixture(scope="module")
def with_leaks(tmp_path_factory: pytest.TempPathFactory, make_built: Callable[[str], Built]) -> dict[str, Table]:
    """The features of one market with its whole history, and of the same one cut before its end."""
    copy = tmp_path_factory.mktemp("leaks") / "dbt"
    shutil.copytree(transform.dbt_project(), copy)
    plant(copy)
    built = make_built("leaks")
    with built.warehouse.connect() as connection:
        configure(connection, "FULL", "CUT")
        load(connection, "FULL", CANDLES, 1)
        load(connection, "CUT", f"{CANDLES} LIMIT 350", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(transform.PROJECT_VARIABLE, str(copy))
        # what the leaks stand beside is checked too: the groups that need nothing else
        groups = "[returns, planted, rsi]"
        built.run(["run", "--select", "+fct_features", "--vars", f"{{feature_groups: {groups}}}"])
    with built.warehouse.connect() as connection:
        tables = by_series(connection, "fct_features")
    return {name: tables[f"{name}/USDT", "1h"] for name in ("FULL", "CUT")}


def changed(tables: dict[str, Table], column: str) -> int:
    cut, full = (tables[name][column].astype(np.float64) for name in ("CUT", "FULL"))
    assert np.isfinite(cut).sum() >= 50
    return rows_changed_by_later_candles(cut, full)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_turns_the_time_travel_test_red(with_leaks: dict[str, Table], leak: str) -> None:
    assert changed(with_leaks, leak) > 0


def test_an_honest_column_beside_it_stays_green(with_leaks: dict[str, Table]) -> None:
    assert changed(with_leaks, "log_return_1") == 0
    assert changed(with_leaks, "rsi_14") == 0
