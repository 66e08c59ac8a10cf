"""The line to an exchange without a line: a fake answers inside the process, and nothing waits.

What costs most of a load is built once: ccxt's clients, the warehouse (in memory), and the verdict of the gate's engine
where nothing can be doubted. All else is what a load runs: client, limits of answers, retries, paging, the gate's
measures and rules, the tables.
"""

from __future__ import annotations

import copy
import http.client
import io
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pandas as pd
import requests
import urllib3
from requests.adapters import HTTPAdapter

from flows.ingestion import client as bounded
from flows.ingestion import exchange as exchanges
from flows.ingestion import ingest
from flows.ingestion.exchange import Exchange
from flows.settings import ExchangeSettings
from flows.workspace.database import Warehouse
from flows.workspace.workspace import Workspace
from tests.exchange_fuzz.families import Family, kind_of, length_asked
from tests.exchange_fuzz.mutations import KINDS, LARGEST_BODY, Asked
from tests.exchange_fuzz.quick_gate import quick_gate
from tests.exchange_fuzz.strategies import FIRST_MS, Market, Mutation
from tests.fakes import Fake
from tests.fakes.exchange import Parameters, Refused


class Transport:
    """A fake behind spoiled answers.

    Attributes:
        mutations: those of the load that runs.
        applied: how often each kind of them changed an answer.
        requests, slept: how many were sent, and how many seconds were waited, in the load that runs.
    """

    def __init__(self, family: Family, market: Market, frame: pd.DataFrame) -> None:
        self.fake: Fake = family.fake(frame, FIRST_MS, market.timeframe)
        self.fake.hook = self._spoiled
        self._family = family
        self._market = market
        self._base_name = str(_pristine(family.exchange).timeframes[market.timeframe])
        self.applied: Counter[str] = Counter()
        self.begin(())

    def begin(self, mutations: tuple[Mutation, ...]) -> None:
        """Another load."""
        self.mutations = mutations
        self.requests = 0
        self.slept = 0.0
        self._asked: Counter[str] = Counter()
        self._before: dict[tuple[str, int], bytes] = {}

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def seconds(self) -> float:
        """Our own clock, which is right."""
        return self.fake.now_ms / 1000

    def _spoiled(self, path: str, parameters: Parameters) -> tuple[int, dict[str, str], bytes]:
        target = kind_of(path)
        number = self._asked[target]
        self._asked[target] += 1
        try:
            answer = self.fake.answer(path, parameters)
        except Refused as refusal:
            answer = refusal.answer
        true_body = answer.encoded()
        length = length_asked(self._family, parameters, self._base_name, self._market.length_ms)
        for mutation in self.mutations:
            if mutation.hits(target, number):
                rng = random.Random(f"{mutation.seed} {number}")
                asked = Asked(self.fake, self._family, length, rng, self._before.get((target, length), b""))
                answer = KINDS[mutation.kind].change(answer, asked)
                self.applied[mutation.kind] += 1
        self._before[target, length] = true_body
        return answer.status, answer.headers, answer.encoded()

    def send(self, request: requests.PreparedRequest, adapter: HTTPAdapter) -> requests.Response:
        """What `HTTPAdapter.send` does."""
        self.requests += 1
        answer = self.fake.respond(str(request.path_url))
        if answer.status == 0:
            raise requests.exceptions.ConnectionError("the line was cut", request=request)
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(answer.body),
            headers={"Content-Type": "application/json", **answer.headers},
            status=answer.status,
            reason=http.client.responses.get(answer.status, ""),
            preload_content=False,
        )
        return adapter.build_response(request, raw)


_clients: dict[tuple[str, str], Any] = {}


def _pristine(exchange: str, symbols: tuple[str, ...] = ()) -> Any:
    """ccxt's client, made once; it asks nobody before it is used."""
    key = (exchange, "".join(symbols))
    if key not in _clients:
        _clients[key] = bounded.new_client(ExchangeSettings(id=exchange), symbols)
        _clients[key].session.trust_env = False  # else each request looks for proxies in all of the environment
    return _clients[key]


def _new_client(line: Transport, settings: ExchangeSettings, symbols: tuple[str, ...]) -> Any:
    """A copy that shares with the others only what no load changes."""
    client = copy.copy(_pristine(settings.id, symbols))
    client.options = copy.deepcopy(client.options)
    client.enableRateLimit = False
    client.milliseconds = lambda: line.fake.now_ms
    return client


class _Memory(Warehouse):
    """A warehouse in memory, of one process."""

    def __init__(self) -> None:
        super().__init__(Path(":memory:"))
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'; SET threads = 1; PRAGMA disable_optimizer")
        self._migrate(self._connection)

    @contextmanager
    def locked(self, timeout_seconds: float = 600.0) -> Iterator[Warehouse]:
        yield self

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        yield self._connection

    def empty(self) -> None:
        for table in ("candles", "loads", "quarantine", "quality_checks", "gaps", "origins"):
            self._connection.execute(f"truncate raw.{table}")


class MemoryInstallation(Workspace):
    """A workspace without a home."""

    @property
    def warehouse(self) -> Warehouse:
        return _memory()


_memories: list[_Memory] = []


def _memory() -> _Memory:
    if not _memories:
        _memories.append(_Memory())
    return _memories[0]


def empty_warehouse() -> None:
    _memory().empty()


@contextmanager
def surroundings(line: Transport) -> Iterator[None]:
    """All requests of the process go to `line`."""

    def exchange(settings: ExchangeSettings, symbols: tuple[str, ...] = ()) -> Exchange:
        return Exchange(settings, sleep=line.sleep, clock=line.seconds, symbols=symbols)

    def send(adapter: HTTPAdapter, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        return line.send(request, adapter)

    with ExitStack() as stack:
        for where, name, thing in (
            (HTTPAdapter, "send", send),
            (bounded, "LARGEST_ANSWER_BYTES", LARGEST_BODY),
            (exchanges, "new_client", lambda settings, symbols: _new_client(line, settings, symbols)),
            (exchanges, "Exchange", exchange),
            (ingest, "Exchange", exchange),
            (ingest, "check_batch", quick_gate),
        ):
            stack.enter_context(patch.object(where, name, thing))
        yield
