"""The stream of server-sent events: new forecasts, scores, verdicts, signals and trades as they are published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from app.api.events import Event, Topics, id_of, positions_of
from app.api.marts import Topic
from app.api.problems import ApiError
from app.api.snapshots import Snapshots
from ml.errors import CandleworksError
from ml.texts import one_line

router = APIRouter(prefix="/v1", tags=["stream"])
#: After this pause a client that lost its connection asks again.
RETRY_MS = 3000
#: Sequences are 64-bit numbers.
_MOST_DIGITS = 18


class StreamQuery(BaseModel):
    """Parameters of the stream."""

    model_config = ConfigDict(extra="forbid")

    topics: str = Field(
        ",".join(get_args(Topic)),
        pattern=rf"^({'|'.join(get_args(Topic))})(,({'|'.join(get_args(Topic))}))*$",
        description="Separated by commas.",
    )
    backlog: int = Field(10, ge=0, le=500, description="Newest events of each topic to begin with, without an id.")


def _one_more_client(request: Request) -> Iterator[None]:
    """Count the clients for as long as their streams last."""
    state = request.app.state
    if state.streams >= state.options.stream_clients:
        detail = (
            f"{state.streams} clients read the stream, more are not served. End one, or raise stream_clients under "
            "[api]."
        )
        raise ApiError(503, "too-many-streams", detail, {"Retry-After": "30"})
    state.streams += 1
    try:
        yield
    finally:
        state.streams -= 1


class _Reading:
    """What one client has read."""

    def __init__(self, snapshots: Snapshots, events: Topics, query: StreamQuery) -> None:
        self._snapshots, self._events, self._backlog = snapshots, events, query.backlog
        self._topics: list[Topic] = [topic for topic in get_args(Topic) if topic in query.topics.split(",")]
        self._positions: dict[Topic, int] = {}
        self._version = ""

    def resume(self, identity: str) -> None:
        """Continue after an id.

        Raises:
            ApiError: it is none of this stream.
        """
        too_long = any(len(part) > _MOST_DIGITS for part in identity.replace(":", ",").split(",") if part.isdecimal())
        found = None if too_long else positions_of(identity, self._topics)
        if found is None:
            detail = (
                "Last-Event-ID is no id of a stream of these topics. Send the id of the last event, 0 for all events "
                "of one topic, or none to begin with the newest."
            )
            raise ApiError(404, "unknown-event", detail)
        self._positions = found

    def new(self) -> list[tuple[str, Event]]:
        """Events that were published since, each with its id.

        Raises:
            ApiError: nothing is published, or a table is missing.
            StoreError: the store cannot be read.
        """
        snapshot = self._snapshots.current()
        if snapshot.version == self._version:
            return []
        found = []
        positions = {
            topic: self._positions[topic]
            if topic in self._positions
            else self._events.beginning(snapshot, topic, self._backlog)
            for topic in self._topics
        }
        for topic in self._topics:
            for event in self._events.after(snapshot, topic, positions[topic]):
                positions[topic] = event.position
                found.append((id_of(positions), event))
        # Last: a version that cannot be read whole is read again, without a loss.
        self._positions, self._version = positions, snapshot.version
        return found


def _reading(
    request: Request, query: Annotated[StreamQuery, Query()], last_event_id: Annotated[str | None, Header()] = None
) -> _Reading:
    state = request.app.state
    reading = _Reading(state.snapshots, state.topics, query)
    if last_event_id:
        reading.resume(last_event_id)
    return reading


@router.get("/stream", response_class=EventSourceResponse, dependencies=[Depends(_one_more_client)])
async def stream(request: Request, reading: Annotated[_Reading, Depends(_reading)]) -> AsyncIterator[ServerSentEvent]:
    """Events as they are published: `event` is the topic, `data` the item of its list, `id` its place in the chain.

    With `Last-Event-ID` it continues after that event. An empty comment every 15 seconds keeps the connection open.
    """
    yield ServerSentEvent(retry=RETRY_MS, comment="candleworks")
    while not request.scope["is_head"]:
        try:
            found = await run_in_threadpool(reading.new)
        except (ApiError, CandleworksError) as error:
            # The client stays: the next version may be complete.
            yield ServerSentEvent(comment=one_line(error))
            found = []
        for identity, event in found:
            yield ServerSentEvent(raw_data=event.data, event=event.topic, id=identity)
        await asyncio.sleep(request.app.state.poll_seconds)
