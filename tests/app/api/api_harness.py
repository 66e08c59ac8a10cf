"""What the tests of the HTTP API share: a store with the synthetic snapshot and sealed forecasts, and a server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI
from synthetic_snapshot import VERSION

from app.api.application import create_application
from app.api.keys import digest_of
from app.api.options import ApiOptions
from app.api.served import ServedModels
from flows.processes.ports import free_port
from ml.forecasting.chain import Chain
from ml.forecasting.chart_models import Images, serve_charts
from ml.forecasting.published import publish_version
from ml.store import Store

KEY = "cw_key-of-the-tests"
KEYS = {"tests": digest_of(KEY)}
#: The moment of the synthetic snapshot's publication.
PUBLISHED_AT = datetime(2024, 4, 21, 12, 5, 3, tzinfo=UTC)
#: Forecasts of each series that are sealed.
SEALED = 8
ALL = 10_000


def read_tables(version: Path) -> duckdb.DuckDBPyConnection:
    """The tables of a published version, in memory."""
    database = duckdb.connect(":memory:")
    for file in sorted(version.glob("*.parquet")):
        database.execute(f"create table {file.stem} as from '{file}'")
    return database


class ApiStore:
    """A store with the synthetic tables, whose forecasts are sealed; versions of it are published on request."""

    def __init__(self, folder: Path, database: duckdb.DuckDBPyConnection) -> None:
        self.store = Store(folder)
        self.database = database

    @classmethod
    def build(cls, folder: Path, snapshot: Path) -> ApiStore:
        """A store with one version, of the tables of a synthetic snapshot; it is made once and copied."""
        made = cls(folder, read_tables(snapshot / "published" / VERSION))
        made._seal()
        made.publish("first")
        return made

    def copy(self, folder: Path) -> ApiStore:
        """The same store, for a test to change."""
        shutil.copytree(self.store.url, folder, dirs_exist_ok=True)
        return ApiStore(folder, read_tables(folder / "published" / "first"))

    def _seal(self) -> None:
        """Keep some forecasts of each series, in one chain, with their scores."""
        run = self.database.execute
        run(
            f"""
            create or replace table forecasts as
            with kept as (
                from forecasts
                qualify row_number() over (partition by symbol, timeframe order by issued_at desc) <= {SEALED}
            )
            select * replace (row_number() over (order by issued_at, symbol, timeframe) as sequence) from kept
            """
        )
        run("create table old_hashes as select hash as old, sequence from forecasts")
        chain = Chain(self.store, "forecasts")
        count = run("select count(*) from forecasts").fetchone()
        assert count is not None
        for sequence in range(1, count[0] + 1):
            row = run("select symbol, timeframe, close from forecasts where sequence = ?", [sequence]).fetchone()
            assert row is not None
            record = chain.append({"symbol": row[0], "timeframe": row[1], "close": row[2]})  # type: ignore[typeddict-unknown-key]
            run("update forecasts set hash = ? where sequence = ?", [record["hash"], sequence])
        run(
            """
            create or replace table scores as
            select scores.* replace (
                row_number() over (order by scores.sequence) as sequence, forecasts.hash as forecast_hash
            )
            from scores
            join old_hashes on scores.forecast_hash = old_hashes.old
            join forecasts on old_hashes.sequence = forecasts.sequence
            """
        )
        run("drop table old_hashes")

    def publish(self, version: str, forecasts: int = ALL, published_at: datetime = PUBLISHED_AT) -> None:
        """Publish a version with the forecasts up to a sequence."""
        tables = {}
        for name in self.tables():
            query = f"from {name}" + (f" where sequence <= {forecasts}" if name == "forecasts" else "")
            file = Path(str(self.store.url)) / f"{name}.parquet"
            self.database.execute(f"copy ({query}) to '{file}' (format parquet)")
            tables[name] = file.read_bytes()
            file.unlink()
        pointer: Any = {"published_at": published_at.isoformat(), "exchange_time": published_at.isoformat()}
        publish_version(self.store, version, tables, pointer)

    def tables(self) -> list[str]:
        """Names of the published tables."""
        found = self.database.execute("select table_name from duckdb_tables() order by 1")
        return [name for (name,) in found.fetchall()]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the tables that are published."""
        return self.database.execute(query).fetchall()


class ChartsByHand(ServedModels):
    """A chart model without TensorFlow: the shares of pixels in the three channels."""

    @classmethod
    def into(cls, application: FastAPI) -> None:
        """Let it serve."""
        state = application.state
        serve_charts(state.snapshots.store, "by-hand")
        state.served = cls(state.snapshots.store, state.snapshots)

    def predict_charts(self, identity: str, images: Images) -> npt.NDArray[np.float64]:
        """(n, 3) rise, decline, end."""
        assert images.dtype == np.uint8 and images.shape[1:] == (200, 150, 3)
        return images.mean(axis=(1, 2))


class Clock:
    """Times that tests set."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.now = PUBLISHED_AT


def make_application(store: ApiStore | Store, clock: Clock | None = None, **options: Any) -> FastAPI:
    """The application over a store, with the key of the tests."""
    clock = clock or Clock()
    url = str((store.store if isinstance(store, ApiStore) else store).url)
    given = ApiOptions(**{"store_url": url, "key_digests": KEYS, "calls_per_minute": 100_000, **options})
    application = create_application(given, now=lambda: clock.now, clock=lambda: clock.seconds)
    application.state.poll_seconds = 0.01
    return application


@contextmanager
def serving(application: FastAPI, key: str | None = KEY) -> Iterator[httpx.Client]:
    """The application on a port of its own, in a thread, and a client with the key."""
    port = free_port()
    config = uvicorn.Config(application, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    headers = {} if key is None else {"X-API-Key": key}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, transport=httpx.HTTPTransport(retries=20)
        ) as client:
            while not server.started:
                thread.join(0.005)
            yield client
    finally:
        server.should_exit = True
        thread.join()


def walk(client: httpx.Client, path: str, limit: int) -> Iterator[list[dict[str, Any]]]:
    """The pages of a list."""
    cursor = None
    while True:
        page = client.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})}).json()
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def events(client: httpx.Client, most: int, last_id: str | None = None, **query: str) -> list[tuple[str, str, str]]:
    """The first events of the stream as (id, topic, data); then the client is gone."""
    found: list[tuple[str, str, str]] = []
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with client.stream("GET", "/v1/stream", params=query, headers=headers) as response:
        response.raise_for_status()
        event: dict[str, str] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            event[name] = value
            if not line:
                if "data" in event:
                    found.append((event["id"], event["event"], event["data"]))
                event = {}
            if len(found) == most:
                return found
    return found
