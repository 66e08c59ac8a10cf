"""The names under which a server may be asked besides those of the loopback address."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from flows.server.access import access_environment, restrict_access
from flows.settings import ServiceSettings


def _ask(host: str, origin: str | None = None) -> int:
    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def ask() -> int:
        transport = httpx.ASGITransport(app=restrict_access(Starlette(routes=[Route("/", hello)])))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"Host": host} | ({"Origin": origin} if origin else {})
            return (await client.get("/", headers=headers)).status_code

    return asyncio.run(ask())


def test_a_name_of_the_settings_is_ours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _ask("host.docker.internal:4200") == 400
    for name, value in access_environment(4200, "a:b", ("host.docker.internal", "candles.example")).items():
        monkeypatch.setenv(name, value)

    assert _ask("host.docker.internal:4200") == 200
    assert _ask("127.0.0.1:4200") == 200
    assert _ask("candles.example", "https://candles.example") == 200  # behind a proxy
    assert _ask("candles.example", "https://evil.example") == 403
    assert _ask("www.candles.example") == 400
    assert _ask("evil.example") == 400


@pytest.mark.parametrize("name", ["*", "*.example", "http://a", "a:4200", "a,b", "A", "a b", ""])
def test_names_in_the_settings_are_plain(name: str) -> None:
    with pytest.raises(ValidationError, match="server_names"):
        ServiceSettings(server_names=(name,))
