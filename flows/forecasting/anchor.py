"""Anchor the heads of the sealed chains at a third party, which can then prove that a chain was cut or rewritten."""

from __future__ import annotations

import http.client
import json
import logging
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from flows.settings import SealSettings
from flows.warehouse.verification import trusted_roots
from flows.webhook import post_json
from flows.workspace.workspace import Workspace
from ml.errors import ServiceError, StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS, FORECAST_CHAINS
from ml.forecasting.time_stamps import anchor_path, checked_stamp, stamp_request, write_anchor
from ml.records import ChainHead
from ml.store import Store
from ml.texts import one_line

_logger = logging.getLogger(__name__)
#: An answer with all certificates has some thousand bytes.
_MOST_BYTES = 2**20


def head_records(store: Store, chains: Sequence[str] = CHAINS) -> list[ChainHead]:
    """Chain, sequence and hash of each chain's last record."""
    heads = {name: Chain(store, name).head() for name in chains}
    return [{"chain": name, "sequence": sequence, "hash": value} for name, (sequence, value) in heads.items()]


def anchor_heads(store: Store, settings: SealSettings, now_ms: int, chains: Sequence[str] = FORECAST_CHAINS) -> int:
    """POST the head of each of these chains as JSON to the webhook, where one is set.

    A failure is logged and has no other effect. The log line never contains the URL: it is a secret.

    Returns:
        How many heads the webhook accepted.
    """
    url = settings.webhook.get_secret_value()
    if not url:
        return 0
    time = datetime.fromtimestamp(now_ms / 1000, tz=UTC).isoformat()
    taken = 0
    try:
        heads = head_records(store, chains)
    except StoreError as error:
        _logger.warning("The heads of the chains are not sent: %s", error)
        return 0
    for record in heads:
        answer = post_json(url, json.dumps({**record, "exchange_time": time}), settings.timeout_seconds)
        if answer.state != "taken":
            _warn(answer.reason)
            break
        taken += 1
    return taken


def stamp_heads(workspace: Workspace, now: datetime) -> str:
    """Once per day, have the heads of all chains stamped by the time-stamp authority of the settings, if any.

    Args:
        workspace: the home.
        now: the machine's time, UTC: its day names the anchor.

    Returns:
        The new anchor in words; "" where nothing is due.

    Raises:
        ServiceError: the authority did not answer, or its answer is not valid; the next run asks again.
    """
    settings, store, name = workspace.settings.seal, workspace.store, f"{now:%Y-%m-%d}"
    if not settings.timestamp_url or store.exists(anchor_path(name)):
        return ""
    heads = head_records(store)
    if not any(head["sequence"] for head in heads):
        return ""
    request, nonce = stamp_request(heads)
    try:
        answer = _ask(settings, request)
        time, authority = checked_stamp(answer, heads, trusted_roots(settings), nonce)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceError(
            f"The time-stamp authority {settings.timestamp_url} gave no valid stamp ({one_line(error)}). "
            "The chains are not anchored today so far; check `[seal] timestamp_url` and `timestamp_roots`."
        ) from error
    with suppress(FileExistsError):
        write_anchor(store, name, heads, answer)
    return f"anchored at {time:%Y-%m-%d %H:%M} UTC by {authority}"


def _ask(settings: SealSettings, request: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query"}
    asked = urllib.request.Request(settings.timestamp_url, request, headers, method="POST")
    with urllib.request.urlopen(asked, timeout=settings.timeout_seconds) as answer:
        content: bytes = answer.read(_MOST_BYTES)
    return content


def _warn(reason: str) -> None:
    _logger.warning(
        "The webhook did not accept the heads of the chains (%s). Forecasts are sealed all the same; "
        "check CANDLEWORKS_SEAL__WEBHOOK.",
        reason,
    )
