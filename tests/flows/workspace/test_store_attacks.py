"""Attacks by a writer of the store, who has no file of the home: each fails with a named reason.

`verify` names the record, nothing of it is loaded, and no further record is sealed after it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.settings import Settings
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.canonical import canonical_json
from ml.errors import StoreError
from ml.forecasting.chain import GENESIS, Chain, record_hash
from tests.sealing import key_of, seal_hour

Record = dict[str, Any]
VERDICT = {
    "exchange": "e",
    "symbol": "A/USDT",
    "timeframe": "1h",
    "decision": "promoted",
    "decided_at": "2024-01-02T00:00:00+00:00",
    "holdout_opened": True,
    "holdout_openings": 1,
    "case_key": "f" * 16,
    "dataset_id": "d",
    "model_id": "evil",
}


class Attacker:
    """Writes files of a store."""

    def __init__(self, home: Path) -> None:
        self.store = home / "store"

    def records(self, chain: str) -> list[Record]:
        return [dict(one) for one in Chain(Workspace(self.store.parent, Settings()).store, chain).records()]

    def write(self, chain: str, record: Record, number: int | None = None) -> None:
        folder = self.store / chain
        folder.mkdir(exist_ok=True)
        (folder / f"{number or record['sequence']:010d}.json").write_text(canonical_json(record), "utf-8")

    def next(self, chain: str, body: Record, /, **fields: Any) -> Record:
        """A record with a right hash that follows the last one."""
        records = self.records(chain)
        previous = records[-1]["hash"] if records else GENESIS
        record: Any = {"sequence": len(records) + 1, "previous": previous, "body": body, **fields}
        return record | {"hash": record_hash(record)}


def forged_verdict(attacker: Attacker) -> None:
    attacker.write("verdicts", attacker.next("verdicts", VERDICT))


def verdict_signed_with_a_key_of_its_own(attacker: Attacker) -> None:
    fields = {"chain": "verdicts", "key": key_of(7).public, "wall_time": "2024-01-02T00:00:00+00:00", "replayed": False}
    record = attacker.next("verdicts", VERDICT, **fields)
    signature = key_of(7).sign(f"candleworks record {record['hash']}".encode())
    attacker.write("verdicts", record | {"signature": signature})


def forecast_after_its_candle(attacker: Attacker) -> None:
    body = attacker.records("forecasts")[-1]["body"] | {"symbol": "B/USDT"}
    attacker.write("forecasts", attacker.next("forecasts", body))


def better_score(attacker: Attacker) -> None:
    record = attacker.records("scores")[-1]
    record["body"]["error_pct"] = 0.0
    attacker.write("scores", record | {"hash": record_hash(record)})  # type: ignore[arg-type]


def old_signature_on_a_new_record(attacker: Attacker) -> None:
    before = attacker.records("forecasts")[-1]
    fields = {name: before[name] for name in ("chain", "key", "wall_time", "replayed")}
    record = attacker.next("forecasts", before["body"] | {"symbol": "B/USDT"}, **fields)
    attacker.write("forecasts", record | {"signature": before["signature"]})


def whole_chain_without_signatures(attacker: Attacker) -> None:
    records = attacker.records("forecasts")
    shutil.rmtree(attacker.store / "forecasts")
    for record in records:
        attacker.write("forecasts", attacker.next("forecasts", record["body"] | {"high": 1.0}))


def chain_of_another_home(attacker: Attacker) -> None:
    other = Workspace(attacker.store.parent.with_name("other"), Settings())
    for hour in range(4):
        seal_hour(other, hour)
    for chain in ("forecasts", "scores"):
        shutil.rmtree(attacker.store / chain)
        shutil.copytree(other.home / "store" / chain, attacker.store / chain)


def record_twice(attacker: Attacker) -> None:
    attacker.write("forecasts", attacker.records("forecasts")[-1], number=4)


ATTACKS: tuple[tuple[Callable[[Attacker], None], str, str], ...] = (
    (forged_verdict, "verdicts/0000000001.json", "it has no signature, and this home signs its records"),
    (
        verdict_signed_with_a_key_of_its_own,
        "verdicts/0000000001.json",
        "signed with another key than that of this home",
    ),
    (forecast_after_its_candle, "forecasts/0000000004.json", "it has no signature"),
    (better_score, "scores/0000000003.json", "its signature is not that of its key"),
    (old_signature_on_a_new_record, "forecasts/0000000004.json", "its signature is not that of its key"),
    (whole_chain_without_signatures, "forecasts/0000000001.json", "it has no signature, and this home signs"),
    (chain_of_another_home, "forecasts/0000000001.json", "signed with another key than that of"),
    (record_twice, "forecasts/0000000004.json", "number 4 was expected there"),
)


def test_each_attack_is_named_by_verify_not_loaded_and_not_continued(tmp_path: Path) -> None:
    for attack, path, reason in ATTACKS:
        home = tmp_path / attack.__name__ / "home"
        workspace = Workspace(home, Settings())
        for hour in range(3):
            seal_hour(workspace, hour)
        load_store(workspace)
        attack(Attacker(home))

        done = CliRunner().invoke(application, ["verify", "--home", str(home)])
        assert done.exit_code == 1, attack
        assert f"{path} is the first bad record" in done.stderr and reason in done.stderr, (attack, done.stderr)
        again = Workspace(home, Settings())
        with pytest.raises(StoreError, match=r"is the first bad record|that the store lacks or has otherwise"):
            load_store(again)
        with pytest.raises(StoreError, match="is the first bad record"):
            again.chain(path.partition("/")[0]).append({"exchange": "e", "symbol": "A/USDT", "timeframe": "1h"})
