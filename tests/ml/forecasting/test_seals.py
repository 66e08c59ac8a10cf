"""Chains of forecasts and scores under five kinds of tampering, with and without a forger who seals again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.canonical import canonical_json, digest
from ml.errors import ConfigurationError
from ml.forecasting.chain import GENESIS, Chain
from ml.forecasting.seals import ChainReport, verify_chains
from ml.store import Store
from tests.sealing import HOUR, START, scored_at, times_of

LENGTH = 8
#: hypothesis calls a test many times; each works on a copy of one store, since sealing is synced to the disk.
MANY = settings(max_examples=60, deadline=None)
TAMPERINGS = ("edit", "remove", "insert", "reorder", "back-date")

Record = dict[str, Any]


def forecast(hour: int, symbol: str = "A/USDT", **values: Any) -> Record:
    series = {"exchange": "e", "symbol": symbol, "timeframe": "1h"}
    return {**series, **times_of(hour), "late": False, "high": 100.5, **values}


def score(of: str, hour: int, revision: int = 0, **values: Any) -> Record:
    return {"forecast_hash": of, "scored_at": scored_at(hour), "revision": revision, "error_pct": 0.25, **values}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with eight forecasts, a score of each and two verdicts."""
    folder = tmp_path_factory.mktemp("sealed")
    store = Store(folder)
    for hour in range(LENGTH):
        record = Chain(store, "forecasts").append(forecast(hour))
        Chain(store, "scores").append(score(record["hash"], hour))
    for decision in ("refused", "promoted"):
        Chain(store, "verdicts").append({"decision": decision})
    return folder


@contextmanager
def copy_of(sealed: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(sealed, Path(folder) / "store"))


def read(folder: Path, chain: str) -> list[Record]:
    return list(Chain(Store(folder), chain).records())


def write(folder: Path, chain: str, records: list[Record]) -> None:
    """Records as files numbered from 1, with whatever hashes they carry."""
    shutil.rmtree(folder / chain)
    (folder / chain).mkdir()
    for number, record in enumerate(records, 1):
        (folder / chain / f"{number:010d}.json").write_text(canonical_json(record), "utf-8")


def seal(record: Record, sequence: int, previous: str) -> Record:
    content = {"sequence": sequence, "previous": previous, "body": record["body"]}
    return content | {"hash": digest(content)}


def seal_all(records: list[Record]) -> list[Record]:
    done: list[Record] = []
    for sequence, record in enumerate(records, 1):
        done.append(seal(record, sequence, done[-1]["hash"] if done else GENESIS))
    return done


def earlier(body: Record, chain: str) -> Record:
    """The stamp of a record two hours before it was: before its information, and before the previous record."""
    name = "issued_at" if chain == "forecasts" else "scored_at"
    return body | {name: (datetime.fromisoformat(body[name]) - 2 * HOUR).isoformat()}


def edited(body: Record, chain: str) -> Record:
    name = "high" if chain == "forecasts" else "error_pct"
    return body | {name: body[name] / 2}


def tamper(records: list[Record], kind: str, at: int, chain: str) -> tuple[list[Record], int]:
    """Do `kind` at position `at` (1 is the first); returns the records and the position of the changed one."""
    index = at - 1
    one, before, after = records[index], records[:index], records[index + 1 :]
    if kind == "remove":
        return [*before, *after], at
    if kind == "insert":
        return [*before, one | {"body": edited(one["body"], chain)}, one, *after], at
    if kind == "reorder":
        return [*before, after[0], one, *after[1:]], at
    change = edited if kind == "edit" else earlier
    return [*before, one | {"body": change(one["body"], chain)}, *after], at


def report_of(reports: list[ChainReport], chain: str) -> ChainReport:
    (found,) = [report for report in reports if report.chain == chain]
    return found


def first_bad(folder: Path, chain: str) -> int:
    problem = report_of(verify_chains(Store(folder)), chain).problem
    number, _, rest = problem.removeprefix(f"{chain}/").partition(".json is the first bad record: ")
    assert rest.endswith("Restore the store from a backup.")
    return int(number)


def test_untouched_chains_are_whole_and_hold_every_published_head(sealed: Path) -> None:
    store = Store(sealed)
    reports = verify_chains(store)
    assert [(report.chain, report.records, report.problem) for report in reports] == [
        ("verdicts", 2, ""),
        ("forecasts", LENGTH, ""),
        ("scores", LENGTH, ""),
        ("rules", 0, ""),
        ("signals", 0, ""),
        ("transactions", 0, ""),
    ]
    assert [report.head for report in reports] == [Chain(store, report.chain).head()[1] for report in reports]
    heads = [record["hash"] for chain in ("verdicts", "scores") for record in read(sealed, chain)]
    heads += [f"forecasts:{record['hash']}" for record in read(sealed, "forecasts")]
    assert not any(report.problem for report in verify_chains(store, heads))


@MANY
@given(st.sampled_from(TAMPERINGS), st.sampled_from(("forecasts", "scores")), st.integers(1, LENGTH - 1))
def test_a_changed_file_is_the_first_bad_record(sealed: Path, kind: str, chain: str, at: int) -> None:
    with copy_of(sealed) as folder:
        records, bad = tamper(read(folder, chain), kind, at, chain)
        write(folder, chain, records)
        assert first_bad(folder, chain) == bad


@MANY
@given(st.sampled_from(TAMPERINGS), st.sampled_from(("forecasts", "scores")), st.integers(1, LENGTH - 2))
def test_a_record_that_is_sealed_again_is_found_at_it_or_at_the_one_behind(
    sealed: Path, kind: str, chain: str, at: int
) -> None:
    with copy_of(sealed) as folder:
        records, bad = tamper(read(folder, chain), kind, at, chain)
        records[bad - 1] = seal(records[bad - 1], bad, records[bad - 2]["hash"] if bad > 1 else GENESIS)
        write(folder, chain, records)
        # There is always a record behind: a last one that is sealed again is a rewritten tail, see the next test.
        # A time that runs backwards gives the record itself away, a second score or forecast of a candle the next one;
        # what else was changed shows where the next record does not follow.
        assert first_bad(folder, chain) in (bad, bad + 1)
        if kind == "back-date":
            assert first_bad(folder, chain) == bad


@MANY
@given(st.sampled_from(TAMPERINGS), st.sampled_from(("forecasts", "scores")), st.integers(1, LENGTH - 1), st.booleans())
def test_a_tail_that_is_sealed_again_does_not_have_the_published_head(
    sealed: Path, kind: str, chain: str, at: int, names_chain: bool
) -> None:
    with copy_of(sealed) as folder:
        head = read(folder, chain)[-1]["hash"]
        write(folder, chain, seal_all(tamper(read(folder, chain), kind, at, chain)[0]))
        reports = verify_chains(Store(folder), [f"{chain}:{head}" if names_chain else head])
        assert report_of(reports, chain).problem or report_of(reports, "scores").problem


@pytest.mark.parametrize("chain", ["forecasts", "scores"])
@pytest.mark.parametrize("at", [1, 2, LENGTH])
def test_back_dating_is_found_even_when_all_behind_is_sealed_again(sealed: Path, chain: str, at: int) -> None:
    with copy_of(sealed) as folder:
        write(folder, chain, seal_all(tamper(read(folder, chain), "back-date", at, chain)[0]))
        assert first_bad(folder, chain) == at


def test_a_bad_forecast_does_not_make_its_scores_bad_and_a_cut_one_leaves_scores_of_nothing(sealed: Path) -> None:
    with copy_of(sealed) as folder:
        records = read(folder, "forecasts")
        write(folder, "forecasts", tamper(records, "edit", 3, "forecasts")[0])
        problems = {report.chain: report.problem for report in verify_chains(Store(folder))}
        assert problems["forecasts"].startswith("forecasts/0000000003.json is the first bad record")
        assert problems["scores"] == ""
        write(folder, "forecasts", records[:3])
        problems = {report.chain: report.problem for report in verify_chains(Store(folder))}
        assert problems["forecasts"] == ""
        assert problems["scores"].startswith("scores/0000000004.json is the first bad record: no sealed forecast")


@pytest.mark.parametrize("left", [0, 3])
def test_a_cut_chain_is_found_with_a_published_head_only(sealed: Path, left: int) -> None:
    with copy_of(sealed) as folder:
        head = read(folder, "scores")[-1]["hash"]
        write(folder, "scores", read(folder, "scores")[:left])
        store = Store(folder)
        assert not any(report.problem for report in verify_chains(store))
        problem = report_of(verify_chains(store, [f"scores:{head}"]), "scores").problem
        assert problem.startswith(f"no record of scores has the published hash {head[:16]}")
        # Without a chain's name it could be any of them.
        assert all("of any chain" in report.problem for report in verify_chains(store, [head]))
        # The head of one chain is none of another.
        other = read(folder, "forecasts")[-1]["hash"]
        assert report_of(verify_chains(store, [f"verdicts:{other}"]), "verdicts").problem


@pytest.mark.parametrize("head", ["", "abc", "g" * 64, "candles:" + "0" * 64])
def test_what_is_no_head_is_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a published head"):
        verify_chains(Store(tmp_path), [head])


ISSUED = START + timedelta(seconds=40)


@pytest.mark.parametrize(
    ("bodies", "wrong"),
    [
        ([forecast(0, issued_at=(START - HOUR).isoformat())], "issued before its information time"),
        ([forecast(0), forecast(1, symbol="B/USDT", issued_at=ISSUED.isoformat(), information_time=START.isoformat()),
          forecast(2, symbol="C/USDT", information_time=START.isoformat(), issued_at=START.isoformat())],
         "issued before the previous record"),
        ([forecast(0), forecast(0)], "is not later than that of the previous forecast of its series"),
        ([forecast(0, information_time=(START + HOUR).isoformat())], "times are out of order"),
        ([forecast(0, deadline=(START + 2 * HOUR).isoformat())], "times are out of order"),
        ([forecast(0, issued_at=(START + HOUR / 2).isoformat())], "its late flag does not match its times"),
        ([forecast(0, late=True)], "its late flag does not match its times"),
        ([forecast(0, issued_at="2024-01-01T00:00:40")], "lacks a required field"),
        ([{"exchange": "e"}], "lacks a required field"),
    ],
)  # fmt: skip
def test_a_forecast_that_says_the_impossible_is_named(tmp_path: Path, bodies: list[Record], wrong: str) -> None:
    store = Store(tmp_path)
    for body in bodies:
        Chain(store, "forecasts").append(body)
    problem = report_of(verify_chains(store), "forecasts").problem
    assert problem.startswith(f"forecasts/{len(bodies):010d}.json is the first bad record")
    assert wrong in problem


def test_series_share_a_chain_and_a_forecast_of_an_earlier_version_may_be_late_by_its_own_word(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chain = Chain(store, "forecasts")
    for hour, symbol in ((0, "A/USDT"), (0, "B/USDT"), (1, "A/USDT")):
        chain.append(forecast(hour, symbol))
    old = forecast(2, late=True)
    del old["deadline"]
    chain.append(old)
    assert report_of(verify_chains(store), "forecasts").problem == ""


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"forecast_hash": "f" * 64}, "no sealed forecast has the hash"),
        ({"scored_at": (START + 1.9 * HOUR).isoformat()}, "scored before its candle closed"),
        # The scores before it are of an hour later; its own candle had closed, too.
        ({"scored_at": (START + 2.5 * HOUR).isoformat()}, "scored before the previous record"),
        ({"revision": 1}, "its revision is 1, expected 0"),
    ],
)
def test_a_score_that_says_the_impossible_is_named(tmp_path: Path, change: Record, wrong: str) -> None:
    store = Store(tmp_path)
    sealed = [Chain(store, "forecasts").append(forecast(hour)) for hour in range(2)]
    scores = Chain(store, "scores")
    then = (START + 3 * HOUR).isoformat()
    scores.append(score(sealed[0]["hash"], 0, scored_at=then))
    scores.append(score(sealed[0]["hash"], 0, revision=1, scored_at=then))
    assert report_of(verify_chains(store), "scores").problem == ""
    scores.append(score(sealed[1]["hash"], 1, **{"scored_at": then, **change}))
    problem = report_of(verify_chains(store), "scores").problem
    assert problem.startswith("scores/0000000003.json is the first bad record")
    assert wrong in problem
