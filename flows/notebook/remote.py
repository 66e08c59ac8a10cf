"""The HTTP API of a home on another machine, with the same frames as the home itself."""

from __future__ import annotations

import io

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flows.notebook import candles as candle_frames
from flows.notebook.published_frames import PublishedFrames
from flows.notebook.snapshots import typed_frame
from ml.errors import ServiceError, StoreError

#: Seconds to wait for an answer; a table may be large.
TIMEOUT_SECONDS = 60.0
#: A notebook has no end at which it would close connections.
_NO_IDLE = httpx.Limits(max_keepalive_connections=0)


def connect(url: str, key: str | None = None) -> Remote:
    """Connect to the HTTP API of a home.

    Args:
        url: its address, such as ``"http://127.0.0.1:8502"``.
        key: the key of this client (`candleworks api-key`); none for a server that has no keys.

    Raises:
        ServiceError: no server answers there, it refuses the key, or it has nothing to show yet.
    """
    remote = Remote(url, key)
    remote.version()
    return remote


class Remote(PublishedFrames):
    """A home behind its HTTP API; see `PublishedFrames`. A table is downloaded again only when it has changed.

    Every method also raises `ServiceError` if the server does not answer, or refuses.
    """

    def __init__(self, url: str, key: str | None) -> None:
        """Use `candleworks.connect`."""
        self.url = url.rstrip("/")
        headers = {} if key is None else {"X-API-Key": key}
        try:
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, limits=_NO_IDLE)
        except (httpx.InvalidURL, UnicodeEncodeError, TypeError) as error:
            raise ServiceError(
                f"{url!r} or its key cannot be used ({error}). Give an address as http://HOST:8502."
            ) from error
        self._tables: dict[str, tuple[str, pa.Table]] = {}

    def __repr__(self) -> str:
        return f"<candleworks API {self.url}>"

    def version(self) -> str:
        """The published version that is read now."""
        return self._get("/v1/tables").headers["X-Snapshot-Version"]

    def candles(
        self, symbol: str | None = None, timeframe: str | None = None, exchange: str | None = None
    ) -> pd.DataFrame:
        """The published candles, at most the last 500 per series, oldest first; index open_time.

        Returns:
            (n, 3 + 5): open, high, low, close (quote units), volume (base units). Missing candles have no row.
        """
        return candle_frames.closed(self._published("candles", "open_time", symbol, timeframe, exchange))

    def _frame(self, name: str, index: str) -> pd.DataFrame:
        tag, table = self._tables.get(name, ("", None))
        answer = self._get(f"/v1/tables/{name}", {"If-None-Match": tag} if tag else {})
        if table is None or answer.status_code != httpx.codes.NOT_MODIFIED:
            try:
                table = pq.read_table(io.BytesIO(answer.content))
            except pa.ArrowException as error:
                raise StoreError(f"The table {name} of {self.url} cannot be read ({error}). Ask again.") from error
            self._tables[name] = (answer.headers.get("ETag", ""), table)
        try:
            return typed_frame(table, index)
        except KeyError as error:
            raise StoreError(f"The table {name} of {self.url} is of another version ({error}). Update both.") from error

    def _get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        try:
            answer = self._client.get(path, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(
                f"No API answers at {self.url} ({error}). Start it there: `candleworks api`, or correct the address."
            ) from error
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise ServiceError(f"{self.url}: {_detail(answer)}")
        return answer


def _detail(answer: httpx.Response) -> str:
    """The one line of a problem, which has its remedy; of another server its status."""
    try:
        return " ".join(str(answer.json()["detail"]).split())
    except (ValueError, KeyError, TypeError):
        return f"this is not the API of Candleworks ({answer.status_code}). Correct the address."
