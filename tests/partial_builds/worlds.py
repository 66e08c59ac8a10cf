"""A small warehouse, a copy of the project whose models can be edited, and sums over what was built of them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from flows.warehouse import transform
from flows.warehouse.dbt_process import kept
from flows.workspace.database import Warehouse
from ml.errors import CandleworksError
from tests.dbt.built import BUILD_CANDLES, BUILD_STORE, Built, configure, load
from tests.dbt_projects import LEFT_BY_DBT

HOURS = 700
CANDLES = (
    "SELECT timestamp '2024-01-01' + to_hours(i) AS open_time, c * (1 + 0.001 * sin(i * 3)) AS open, c * 1.01 AS high, "
    "c * 0.99 AS low, c AS close, 1 + i % 7 AS volume "
    "FROM (SELECT i, {price} * (1 + 0.1 * sin(i / 9.0) + 0.01 * sin(i * i)) AS c FROM range({first}, {last}) AS r (i))"
)
END = "select * from final"
#: What is to be equal in the end; what only says how a run went (tails, lists, news) is not.
TABLES = (
    "marts.fct_candles",
    "marts.fct_features",
    "marts.fct_labels",
    "marts.dim_markets",
    "intermediate.int_candles__raster",
    "intermediate.int_candles__resampled",
    "intermediate.int_candles__featured",
)
#: What a run of a part says of what it leaves behind, and why it refuses.
REMEDY = "dbt build --select tag:candles"

#: Rows and checksum, by table.
Sums = dict[str, tuple[int, str]]


def in_folder(folder: Path) -> Built:
    """A warehouse in a folder, with its folders for dbt."""
    return Built(Warehouse(folder / "warehouse.duckdb"), folder / "dbt", folder / "logs")


def build_world(built: Built) -> None:
    """Two markets in raw, and both halves built by the project as it is in the repository."""
    with built.warehouse.connect() as connection:
        configure(connection, "BTC", "A")
        load(connection, "BTC", CANDLES.format(price=100, first=0, last=HOURS), 1)
        load(connection, "A", CANDLES.format(price=7, first=0, last=HOURS), 2)
    for half in (BUILD_CANDLES, BUILD_STORE):
        built.run(half)


def load_news(built: Built) -> None:
    """Newer candles and a revised one."""
    with built.warehouse.connect() as connection:
        load(connection, "A", CANDLES.format(price=7, first=HOURS, last=HOURS + 5), 3)
        load(connection, "A", CANDLES.format(price=7.5, first=HOURS - 40, last=HOURS - 39), 4)


@dataclass(frozen=True)
class Copy:
    """A copy of a project."""

    folder: Path
    original: Path

    @property
    def models(self) -> list[str]:
        """The models of the candle half, in order of their names."""
        parts = ("staging/exchange", "staging/outside", *(f"intermediate/{p}" for p in ("candles", "features")))
        parts += ("intermediate/labels", "intermediate/outside", "marts/candles")
        files = [file for part in parts for file in (self.folder / "models" / part).glob("*.sql")]
        return sorted(file.stem for file in files if END in file.read_text("utf-8"))

    def file(self, model: str, suffix: str = ".sql") -> Path:
        """The file of a model."""
        (file,) = self.folder.glob(f"models/**/{model}{suffix}")
        return file

    def edit(self, model: str, last_line: str | None = None) -> None:
        """Change what a model says: its last line becomes this one, or one that adds 1 to its first number."""
        file = self.file(model)
        text = file.read_text("utf-8").rstrip()
        assert text.endswith(END), model
        file.write_text(f"{text.removesuffix(END)}{last_line or self._other(model)}\n", "utf-8")

    def restore(self, model: str) -> None:
        """Make a model what it was."""
        file = self.file(model)
        shutil.copy(self.original / file.relative_to(self.folder), file)

    def _other(self, model: str) -> str:
        if column := OTHER_NUMBERS.get(model):
            return f"select * replace ({column} + 1 as {column}) from final"
        if not model.startswith("int_features__"):
            return f"{END} where true"
        described = self.file(model, ".yml").read_text("utf-8")
        found = re.search(r"- name: (\w+)\n\s+data_type: (double|tinyint)", described)
        assert found, f"{model} has no column that can be edited"
        return f"select * replace (({found[1]} + 1)::{found[2]} as {found[1]}) from final"


#: Where an edit of another model is seen; the other ones say the same in other words.
OTHER_NUMBERS = {
    "stg_exchange__candles": "volume",
    "int_candles__base": "volume",
    "int_candles__raster": "volume",
    "int_candles__resampled": "volume",
    "fct_candles": "volume",
    "fct_labels": "label_high",
}


def copy_project(original: Path, folder: Path) -> Copy:
    """A copy of a project without what dbt has written."""
    shutil.copytree(original, folder, ignore=LEFT_BY_DBT)
    return Copy(folder, original)


@contextmanager
def copied_project(original: Path, folder: Path, like: Built) -> Iterator[Copy]:
    """A copy of a project that all runs of dbt within the block use; a process is kept for warehouses of this name."""
    copy = copy_project(original, folder)
    with patch.dict(os.environ, {transform.PROJECT_VARIABLE: str(folder)}), kept(like.place):
        yield copy


def copy_of(built: Built, folder: Path) -> Built:
    """The same warehouse in another folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(built.warehouse.path, folder / "warehouse.duckdb")
    return in_folder(folder)


def full_build(built: Built, folder: Path) -> Built:
    """A copy of the warehouse, all of it built anew."""
    whole = copy_of(built, folder)
    whole.run([*BUILD_CANDLES, "--full-refresh"])
    return whole


def sums_of(built: Built) -> Sums:
    """Rows and checksum of each table, whatever the order of its rows."""
    with built.warehouse.connect() as connection:
        found = {}
        for name in TABLES:
            query = f"SELECT count(*), coalesce(sum(hash(t)::HUGEINT), 0) FROM {name} AS t"
            rows, checksum = connection.execute(query).fetchone() or (0, 0)
            found[name] = (int(rows), f"{int(checksum) % 2**64:016x}")
        return found


def said_by(built: Built, command: list[str]) -> str:
    """What dbt said of what it did not do, or left behind, in its own words; empty if all is right."""
    log = built.log_path / "dbt.log"
    size = log.stat().st_size if log.exists() else 0
    try:
        built.run(command)
    except CandleworksError as error:
        return str(error).partition(" > in macro")[0].partition(" The whole log:")[0]
    with log.open("r", encoding="utf-8") as file:
        file.seek(size)
        return " ".join(line[10:].strip() for line in file if line.rstrip().endswith(REMEDY))
