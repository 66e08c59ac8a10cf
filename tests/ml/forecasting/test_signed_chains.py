"""Chains under attacks by a writer of the store, who has no key: each is named with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.canonical import canonical_json, digest
from ml.errors import StoreError
from ml.forecasting.chain import GENESIS, Chain, record_hash
from ml.forecasting.seals import verify_chains
from ml.forecasting.trust import AcceptedHead, Sealer
from ml.store import Store
from tests.sealing import WALL_TIME, key_of, sealer_of

Record = dict[str, Any]
NAME = "rules"


def chain_of(folder: Path, sealer: Sealer | None, n: int, name: str = NAME) -> Chain:
    chain = Chain(Store(folder), name, sealer)
    for number in range(n):
        chain.append({"number": number})
    return chain


def problem_of(folder: Path, sealer: Sealer, name: str = NAME) -> str:
    (report,) = [one for one in verify_chains(Store(folder), trust=sealer.trust) if one.chain == name]
    return report.problem


def read(folder: Path, name: str = NAME) -> list[Record]:
    return [dict(record) for record in Chain(Store(folder), name).records()]


def write(folder: Path, sequence: int, record: Record, name: str = NAME) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / f"{sequence:010d}.json").write_text(canonical_json(record), "utf-8")


def sealed(record: Record) -> Record:
    """A record with the hash of its content, as a forger would write it."""
    return {**record, "hash": record_hash(record)}  # type: ignore[arg-type]


def test_a_record_carries_key_time_and_chain_in_its_hash_and_the_signature_of_the_hash(tmp_path: Path) -> None:
    chain_of(tmp_path, sealer_of(replayed=True), 2)
    first, second = read(tmp_path)
    assert first | {"hash": "", "signature": ""} == {
        "sequence": 1,
        "previous": GENESIS,
        "body": {"number": 0},
        "chain": NAME,
        "key": key_of(1).public,
        "wall_time": WALL_TIME.isoformat(),
        "replayed": True,
        "hash": "",
        "signature": "",
    }
    assert first["hash"] == digest({name: first[name] for name in first if name not in ("hash", "signature")})
    assert first["signature"] == key_of(1).sign(f"candleworks record {first['hash']}".encode())
    assert second["previous"] == first["hash"]
    (report,) = [one for one in verify_chains(Store(tmp_path), trust=sealer_of().trust) if one.chain == NAME]
    assert (report.records, report.problem, report.note) == (2, "", "2 of a recorded exchange")


def forged(record: Record) -> Record:
    """Another body, sealed without a key."""
    return sealed({name: record[name] for name in ("sequence", "previous")} | {"body": {"forged": True}})


def forged_with_another_key(record: Record) -> Record:
    again = sealed(record | {"body": {"forged": True}, "key": key_of(2).public})
    return again | {"signature": key_of(2).sign(f"candleworks record {again['hash']}".encode())}


def forged_in_the_name_of_the_home(record: Record) -> Record:
    return sealed(record | {"body": {"forged": True}})


def without_the_mark_of_a_replay(record: Record) -> Record:
    return sealed(record | {"replayed": False})


def dated_back(record: Record) -> Record:
    return sealed(record | {"wall_time": "2020-01-01T00:00:00+00:00"})


ATTACKS: dict[Callable[[Record], Record], str] = {
    forged: "it has no signature, and",
    forged_with_another_key: "it is signed with another key than that of this home",
    forged_in_the_name_of_the_home: "its signature is not that of its key",
    without_the_mark_of_a_replay: "its signature is not that of its key",
    dated_back: "its signature is not that of its key",
}


def test_what_a_writer_without_the_key_puts_at_the_end_of_a_chain_is_named_and_never_continued(tmp_path: Path) -> None:
    for attack, reason in ATTACKS.items():
        folder = tmp_path / attack.__name__
        sealer = sealer_of(replayed=True)
        chain_of(folder, sealer, 3)
        write(folder, 3, attack(read(folder)[2]))
        assert problem_of(folder, sealer).startswith(f"{NAME}/0000000003.json is the first bad record: {reason}")
        with pytest.raises(StoreError, match=r"rules/0000000003\.json is the first bad record"):
            Chain(Store(folder), NAME, sealer).append({"number": 3})
        assert len(read(folder)) == 3


def test_a_whole_chain_written_anew_without_signatures_is_not_from_before_signatures(tmp_path: Path) -> None:
    sealer = sealer_of()
    chain_of(tmp_path, sealer, 3)
    previous = GENESIS
    for sequence in (1, 2, 3):
        record = sealed({"sequence": sequence, "previous": previous, "body": {"forged": sequence}})
        write(tmp_path, sequence, record)
        previous = record["hash"]
    assert "it has no signature, and this home signs" in problem_of(tmp_path, sealer)
    assert "0000000001.json is the first bad record" in problem_of(tmp_path, sealer)


def test_records_from_before_the_key_stay_valid_up_to_the_accepted_one_and_no_further(tmp_path: Path) -> None:
    old = chain_of(tmp_path, None, 2)
    sealer = sealer_of(rules=AcceptedHead(*old.head()))
    chain_of(tmp_path, sealer, 1)
    (report,) = [one for one in verify_chains(Store(tmp_path), trust=sealer.trust) if one.chain == NAME]
    assert (report.records, report.unsigned, report.problem) == (3, 2, "")
    assert report.note == "2 from before signatures"

    with pytest.raises(StoreError, match="it is signed, and this writer has no key"):
        Chain(Store(tmp_path), NAME).append({"number": 9})
    later = sealed({"sequence": 4, "previous": report.head, "body": {}})
    write(tmp_path, 4, later)
    assert "0000000004.json is the first bad record: it has no signature, and" in problem_of(tmp_path, sealer)

    # The forger cuts the signed part and changes the old one, which no signature protects.
    for sequence in (3, 4):
        (tmp_path / NAME / f"{sequence:010d}.json").unlink()
    previous = read(tmp_path)[0]["hash"]
    write(tmp_path, 2, sealed({"sequence": 2, "previous": previous, "body": {"forged": 2}}))
    assert "it is not the record that this home accepted with its key of 2026-01-01" in problem_of(tmp_path, sealer)
    (tmp_path / NAME / "0000000002.json").unlink()
    assert "rules has 1 records, and this home accepted 2" in problem_of(tmp_path, sealer)


def test_a_record_of_one_chain_is_none_of_another(tmp_path: Path) -> None:
    sealer = sealer_of()
    chain_of(tmp_path, sealer, 1, "signals")
    write(tmp_path, 1, read(tmp_path, "signals")[0])
    assert "it was sealed for the chain signals" in problem_of(tmp_path, sealer)


def test_records_of_an_earlier_key_are_counted(tmp_path: Path) -> None:
    old = chain_of(tmp_path, sealer_of(1), 2)
    sealer = sealer_of(2, rules=AcceptedHead(*old.head()))
    chain_of(tmp_path, sealer, 1)
    (report,) = [one for one in verify_chains(Store(tmp_path), trust=sealer.trust) if one.chain == NAME]
    assert (report.note, report.problem) == ("2 signed with an earlier key", "")


def test_nothing_is_appended_over_a_hole_or_a_foreign_file(tmp_path: Path) -> None:
    for damage, named in (
        (lambda folder: (folder / "0000000002.json").unlink(), "0000000003.json"),
        (lambda folder: (folder / "0000000001.json").rename(folder / "0000000001-copy.json"), "0000000001-copy.json"),
        (lambda folder: (folder / "0000000003.json").rename(folder / "0000000009.json"), "0000000009.json"),
        (lambda folder: (folder / "0000000003.json").write_bytes(b""), "0000000003.json"),
        (
            lambda folder: (folder / "0000000003.json").write_bytes((folder / "0000000001.json").read_bytes()),
            "0000000003.json",
        ),
    ):
        store = tmp_path / named / str(damage.__code__.co_firstlineno)
        chain_of(store, sealer_of(), 3)
        damage(store / NAME)
        before = sorted(path.name for path in (store / NAME).iterdir())
        with pytest.raises(StoreError, match=rf"{named} is the first bad record: .*Restore the store from a backup"):
            Chain(Store(store), NAME, sealer_of()).append({"number": 3})
        assert sorted(path.name for path in (store / NAME).iterdir()) == before


def test_a_writer_notices_that_its_own_last_record_was_exchanged_or_lost(tmp_path: Path) -> None:
    for lost, reason in ((False, "it was changed after it was sealed"), (True, "it is missing")):
        folder = tmp_path / str(lost)
        chain = chain_of(folder, sealer_of(), 2)
        path = folder / NAME / "0000000002.json"
        other = sealer_of()
        path.unlink()
        if not lost:
            Chain(Store(folder), NAME, other).append({"number": "another"})
        with pytest.raises(StoreError, match=reason):
            chain.append({"number": 2})


def test_a_name_that_is_taken_by_something_else_ends_the_writer(tmp_path: Path) -> None:
    chain_of(tmp_path, sealer_of(), 1)
    (tmp_path / NAME / "0000000002.json").mkdir()
    with pytest.raises(StoreError, match=r"0000000002\.json cannot be created, though it is no record"):
        Chain(Store(tmp_path), NAME, sealer_of()).append({"number": 1})


def test_a_record_that_a_listing_missed_is_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain_of(tmp_path, sealer_of(), 4)
    listed, calls = Store.list, []

    def without_the_third(store: Store, prefix: str) -> list[str]:
        calls.append(prefix)
        paths = listed(store, prefix)
        return [path for path in paths if "0000000003" not in path] if len(calls) < 3 else paths

    monkeypatch.setattr(Store, "list", without_the_third)
    assert Chain(Store(tmp_path), NAME, sealer_of()).append({"number": 4})["sequence"] == 5
    calls.clear()
    assert Chain(Store(tmp_path), NAME).verify() == 5
