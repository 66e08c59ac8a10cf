"""Sealers with fixed keys and clocks, for tests of signed chains."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from ml.forecasting.trust import AcceptedHead, Sealer, Trust
from ml.signatures import SigningKey

SINCE = "2026-01-01T00:00:00+00:00"
WALL_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def key_of(number: int) -> SigningKey:
    """The n-th test key."""
    return SigningKey(base64.b64encode(bytes([number]) * 32).decode())


def sealer_of(number: int = 1, replayed: bool = False, **accepted: AcceptedHead) -> Sealer:
    """Seals with the n-th test key, after the accepted heads by chain."""
    key = key_of(number)
    return Sealer(key, Trust(key.public, SINCE, accepted), replayed, lambda: WALL_TIME)
