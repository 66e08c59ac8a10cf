"""Anchor the heads of the sealed chains at a third party, which can then prove that a chain was cut or rewritten."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from flows.settings import SealSettings
from flows.webhook import post_json
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS, FORECAST_CHAINS
from ml.records import ChainHead
from ml.store import Store

_logger = logging.getLogger(__name__)


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
    for record in head_records(store, chains):
        answer = post_json(url, json.dumps({**record, "exchange_time": time}), settings.timeout_seconds)
        if answer.state != "taken":
            _warn(answer.reason)
            break
        taken += 1
    return taken


def _warn(reason: str) -> None:
    _logger.warning(
        "The webhook did not accept the heads of the chains (%s). Forecasts are sealed all the same; "
        "check CANDLEWORKS_SEAL__WEBHOOK.",
        reason,
    )
