"""The snapshot of a request: one version for all that it reads, and the tag of its answer."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version as version_of
from threading import Lock

from fastapi import Request, Response

from app.api.problems import ApiError
from app.versions import Loaded, Snapshot, load_version, newest
from ml.forecasting import published
from ml.store import Store

#: The tables that routes read; the others of a version are served as files.
READ = (
    "markets", "leaderboard", "champions", "verdicts", "forecasts", "scores", "data_health",
    "trading_signals", "trading_trades", "trading_equity",
)  # fmt: skip
#: Versions in memory: the newest, and the one before for requests that have begun with it.
KEPT = 2
#: Answers in memory, and the largest one that is kept.
KEPT_BYTES, LARGEST_BODY = 32_000_000, 2_000_000
_NOTHING = "Nothing has been published yet. Run `candleworks demo`, or `candleworks up` and wait for its first run."


class Snapshots:
    """Versions of the snapshot of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bodies = _Bodies()
        self._versions: dict[tuple[str, tuple[str, ...]], Loaded] = {}
        self._newest: tuple[object, Snapshot] | None = None
        self._lock = Lock()

    def current(self) -> Snapshot:
        """The newest version.

        Raises:
            ApiError: nothing has been published yet.
            StoreError: the pointer is broken.
        """
        # The pointer alone decides: a version with its files in memory is not looked at again.
        pointer = published.current_version(self.store)
        if pointer is None:
            raise ApiError(503, "nothing-published", _NOTHING, {"Retry-After": "60"})
        known = self._newest
        if known is not None and known[0] == pointer and not known[1].missing:
            return known[1]
        with self._lock:
            snapshot = newest(self.store, self._load)
            self._newest = (pointer, snapshot)
        return snapshot

    def _load(self, store: Store, version: str, files: tuple[str, ...]) -> Loaded:
        # With the names of its files: a version that was incomplete and is published again is read again.
        key = (version, files)
        if key not in self._versions:
            loaded = load_version(store, version, files, READ)
            if loaded.missing:
                return loaded
            self._versions[key] = loaded
            for old in list(self._versions)[:-KEPT]:
                del self._versions[old]
        return self._versions[key]


class _Bodies:
    """The latest answers by their tags: many clients ask the same between two publications."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, tag: str, make: Callable[[], bytes]) -> bytes:
        """The body with a tag, made if it is not known."""
        with self._lock:
            if tag in self._known:
                self._known.move_to_end(tag)
                return self._known[tag]
        body = make()
        with self._lock:
            if tag not in self._known and len(body) <= LARGEST_BODY:
                self._known[tag] = body
                self._bytes += len(body)
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._known.popitem(last=False)[1])
        return body


def require_table(snapshot: Snapshot, name: str) -> None:
    """Refuse to show as empty what cannot be read.

    Raises:
        ApiError: the version lacks the table.
    """
    if name in snapshot.missing:
        detail = (
            f"The table {name} of the published snapshot is missing or cannot be read. Publish it again: "
            "`candleworks transform`, then `candleworks publish`."
        )
        raise ApiError(503, "unreadable", detail)


def iso(time: datetime | None) -> str | None:
    """A time of the snapshot, which has no zone, as text."""
    return None if time is None else time.isoformat() + "Z"


def with_z(text: str | None) -> str | None:
    """An ISO time in UTC of a pointer, ending in Z."""
    return None if text is None else text.replace("+00:00", "Z")


def headers_of(snapshot: Snapshot) -> dict[str, str]:
    """Headers that say which version an answer is from."""
    exchange = {"X-Exchange-Time": with_z(snapshot.exchange_time) or ""} if snapshot.exchange_time else {}
    return {"X-Snapshot-Version": snapshot.version, **exchange}


def tag_of(request: Request, snapshot: Snapshot) -> str:
    """The strong tag of an answer, made without it: of the program, of the version and of the request."""
    asked = "&".join(sorted(f"{name}={value}" for name, value in request.query_params.multi_items()))
    content = "\n".join((version_of("candleworks"), snapshot.version, request.url.path, asked))
    return f'"{hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:32]}"'


def _knows(request: Request, tag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in given.split(","))


def answer(
    request: Request, snapshot: Snapshot, content: Callable[[], bytes], media_type: str = "application/json"
) -> Response:
    """The response from a version; 304, without making the content, where the client has it already."""
    tag = tag_of(request, snapshot)
    headers = {**headers_of(snapshot), "ETag": tag, "Cache-Control": "private, max-age=5"}
    if _knows(request, tag):
        return Response(None, 304, headers)
    bodies: _Bodies = request.app.state.snapshots.bodies
    return Response(bodies.get(tag, content), 200, headers, media_type)
