"""What an answer of the HTTP API costs: charts on one core, and forecasts at a steady rate."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import httpx
import numpy as np

from app.schema import TABLES
from flows.processes.ports import free_port
from flows.server.http_api import api_command, api_environment
from flows.settings import ApiSettings
from ml.data.targets import TARGETS
from ml.evaluation.forecaster import Ensemble, Member
from ml.forecasting.chart_models import FAMILY, PACKED_BYTES, TARGET, serve_charts
from ml.forecasting.model_store import save_model
from ml.forecasting.published import publish_version
from ml.metrics.conformal import BandScores
from ml.search.cases import TestCase
from ml.store import Store
from tests.benchmarks.pairing import paired, report
from tests.synthetic import SERIES

CHARTS, FORECASTS = 50, 10_000
CALLS_PER_SECOND, SECONDS, CONNECTIONS = 200, 10, 16
_BINARY = {"Content-Type": "application/octet-stream"}


def _publish_forecasts(store: Store) -> None:
    """A version with 10,000 forecasts of ten series; the other tables are empty."""
    database = duckdb.connect(":memory:")
    tables = {}
    for name, columns in TABLES.items():
        database.execute(f"create table {name} ({columns})")
    database.execute(
        f"""
        insert into forecasts by name
        select i as sequence, md5(i::text) as hash, 'binance' as exchange, 'COIN' || i % 10 || '/USDT' as symbol,
            '1h' as timeframe, timestamp '2026-01-01' + interval (i // 10) hour as target_open_time,
            target_open_time as issued_at, false as late, 100.0 as open, 101.0 as high, 99.0 as low, 100.5 as close,
            i > {FORECASTS - 10} as is_current, '{{"0.8": [98.0, 102.0]}}' as bands
        from range(1, {FORECASTS + 1}) numbers(i)
        """
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in TABLES:
            file = Path(folder) / f"{name}.parquet"
            database.execute(f"copy {name} to '{file}' (format parquet)")
            tables[name] = file.read_bytes()
    publish_version(store, "benchmark", tables, {"published_at": "2026-02-01T00:00:00+00:00", "exchange_time": None})


def _save_chart_model(store: Store) -> None:
    """The network of full size, with its initial weights."""
    from ml.models.neural import ChartImageModel  # noqa: PLC0415 - it loads TensorFlow
    from ml.networks.architectures import Design  # noqa: PLC0415

    model = ChartImageModel(units=16, depth=4)
    model.network = Design("chart_cnn", 200, 5, 3, 16, 4).build(0)
    model.label_mean, model.label_scale = np.zeros(3), np.ones(3)
    case = TestCase(series=SERIES, model=FAMILY, target=TARGET, lags=200)
    save_model(
        store, "charts", case, Ensemble((Member(None, model, TARGETS[TARGET]),)), BandScores(np.empty(0), None), {}
    )
    serve_charts(store, "charts")


@contextmanager
def _served(store: Store, cores: set[int]) -> Iterator[httpx.Client]:
    """The server as `candleworks api` starts it, on some cores."""
    settings = ApiSettings(port=free_port(), calls_per_minute=1_000_000)
    environment = {**os.environ, **api_environment(str(store.url), settings), "TF_CPP_MIN_LOG_LEVEL": "3"}
    server = subprocess.Popen(api_command(), env=environment, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(server.pid, cores)
    try:
        transport = httpx.HTTPTransport(retries=50)
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=60, transport=transport) as client:
            while True:
                try:
                    client.get("/v1/health")
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            yield client
    finally:
        server.terminate()
        server.wait()


def charts(name: str) -> None:
    """50 charts in one request against 50 requests of one, on one core, warm."""
    packed = np.random.default_rng(0).integers(0, 256, (CHARTS, PACKED_BYTES), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        _publish_forecasts(store)
        _save_chart_model(store)
        with _served(store, {max(os.sched_getaffinity(0))}) as client:

            def predict(content: bytes) -> None:
                client.post("/v1/predict/charts", content=content, headers=_BINARY).raise_for_status()

            report(
                name,
                *paired(lambda: predict(packed.tobytes()), lambda: [predict(one.tobytes()) for one in packed], runs=9),
                "s",
            )


def forecasts(name: str) -> None:
    """200 calls a second with the tag that the client has (304), and the same in full (200): milliseconds of a call."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        _publish_forecasts(store)
        with _served(store, os.sched_getaffinity(0)) as client:
            tag = client.get("/v1/forecasts").headers["ETag"]
            for kind, headers in (("304", {"If-None-Match": tag}), ("200", {})):
                spent, rate = asyncio.run(_steadily(str(client.base_url), headers))
                figures = {"name": f"{name}_{kind}", "calls_per_second": round(rate, 1), "calls": len(spent)}
                shares = {f"p{share}_ms": round(float(np.percentile(spent, share)), 2) for share in (50, 95, 99)}
                sys.stdout.write(json.dumps({**figures, **shares}) + "\n")


async def _steadily(url: str, headers: dict[str, str]) -> tuple[list[float], float]:
    """Milliseconds of calls that begin at a steady rate, counted from when each was due; and the rate.

    Over plain connections: a client library would need more of the two cores than the server.
    """
    host, port = url.removeprefix("http://").split(":")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    asked = f"GET /v1/forecasts HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n{lines}\r\n".encode()
    spent: list[float] = []
    started = time.perf_counter() + 0.5
    due = iter([started + number / CALLS_PER_SECOND for number in range(CALLS_PER_SECOND * SECONDS)])

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for at in due:
            await asyncio.sleep(at - time.perf_counter())
            writer.write(asked)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            spent.append(1000 * (time.perf_counter() - at))
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return spent, len(spent) / (time.perf_counter() - started)
