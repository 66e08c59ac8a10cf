"""ccxt's client of an exchange's public market data, with bounds that ccxt does not have.

An answer must not be larger than `LARGEST_ANSWER_BYTES`, must be complete after `LONGEST_ANSWER_SECONDS` however slowly
its bytes arrive, and must not redirect to another host.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import ccxt
import requests
from requests.adapters import HTTPAdapter

from flows.settings import ExchangeSettings
from ml.errors import ConfigurationError
from ml.symbols import MarketName

LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
LONGEST_ANSWER_SECONDS = 120.0
_PIECE_BYTES = 65_536

#: Names of market types in the option `fetchMarkets` of the clients that have it.
_KINDS = {"spot": {"spot"}, "linear": {"linear", "swap", "future"}, "inverse": {"inverse", "swap", "future"}}


class UnboundedAnswerError(requests.exceptions.InvalidHeader):
    """An answer that is too large, takes too long or redirects to another host; it is not retried."""


class _BoundedAdapter(HTTPAdapter):
    """Reads the body piece by piece, so that size and time can be limited."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["stream"] = True
        deadline = time.monotonic() + LONGEST_ANSWER_SECONDS
        response = super().send(request, *args, **kwargs)
        pieces: list[bytes] = []
        size = 0
        try:
            # read1 returns the bytes received so far; a read of fixed size would block until all have arrived.
            while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > LARGEST_ANSWER_BYTES:
                    raise UnboundedAnswerError(f"the answer is larger than {LARGEST_ANSWER_BYTES // 2**20} MiB")
                if time.monotonic() > deadline:
                    raise UnboundedAnswerError(f"the answer was not complete after {LONGEST_ANSWER_SECONDS:g} s")
        except UnboundedAnswerError:
            response.close()
            raise
        except Exception as error:  # urllib3's own errors, as requests would raise them
            response.close()
            raise requests.exceptions.ConnectionError(error, request=request) from error
        response._content = b"".join(pieces)
        response._content_consumed = True
        response.raw.release_conn()
        return response


class _BoundedSession(requests.Session):
    """A session that follows no redirect to another host."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _BoundedAdapter())

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            here, there = urlsplit(resp.url), urlsplit(target)
            if there.netloc and (there.scheme, there.netloc) != (here.scheme, here.netloc):
                raise UnboundedAnswerError(f"it redirects to another host, {there.scheme}://{there.netloc}")
        return target


def market_type(settings: ExchangeSettings, symbol: str = "") -> str:
    """The type of a market: from its symbol (BASE/QUOTE:SETTLE is a perpetual), the settings, or the exchange."""
    parts = MarketName.of(symbol)
    if parts.settle:
        return parts.kind
    if settings.market_type:
        return settings.market_type
    return _own_type(settings.id)


@lru_cache
def _own_type(exchange_id: str) -> str:
    """The default type of an exchange's markets, spot where it has those. Cached: creating a client takes 20 ms."""
    exchange = getattr(ccxt, exchange_id)()
    if exchange.has.get("spot") is not False:
        return "spot"
    listed = exchange.options.get("fetchMarkets")
    return "inverse" if isinstance(listed, dict) and listed.get("types") == ["inverse"] else "linear"


def new_client(settings: ExchangeSettings, symbols: tuple[str, ...] = ()) -> Any:
    """A ccxt client that loads only the types of markets that are needed.

    Raises:
        ConfigurationError: ccxt does not know the exchange.
    """
    if settings.id not in ccxt.exchanges:
        raise ConfigurationError(
            f"Unknown exchange {settings.id!r} under [exchange] or [combine]. Use one that ccxt lists."
        )
    client = getattr(ccxt, settings.id)(
        {
            "enableRateLimit": True,
            "timeout": int(settings.timeout_seconds * 1000),
            "apiKey": settings.api_key.get_secret_value(),
            "secret": settings.api_secret.get_secret_value(),
            "session": _BoundedSession(),
        }
    )
    listed = client.options.get("fetchMarkets")
    if isinstance(listed, dict) and isinstance(listed.get("types"), list):
        # Otherwise ccxt requests all types of markets, from several more services.
        kinds = set().union(*(_KINDS[market_type(settings, symbol)] for symbol in symbols or ("",)))
        listed["types"] = [kind for kind in listed["types"] if kind in kinds] or listed["types"]
    if settings.base_url:
        client.urls["api"] = _moved(client.urls["api"], settings.base_url.rstrip("/"))
    return client


def _moved(entry: Any, base_url: str) -> Any:
    """Replace every host by `base_url`, keeping the paths."""
    if isinstance(entry, dict):
        return {name: _moved(value, base_url) for name, value in entry.items()}
    return f"{base_url}/{entry.split('://', 1)[-1].partition('/')[2]}"
