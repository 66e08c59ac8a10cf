"""The origin of the candles under a name: an exchange and a type of market, which must not change."""

from __future__ import annotations

from flows.settings import Source
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError


def check_origin(workspace: Workspace, source: Source, market_type: str) -> None:
    """Make sure that a source's candles have the same origin as the stored ones; the first load sets it.

    Raises:
        ConfigurationError: they come from another exchange, or from another type of market of the pair.
    """
    key = [source.exchange.called, source.symbol]
    now = (source.exchange.id, market_type)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        known = connection.execute(
            "select exchange_id, market_type from raw.origins where exchange = ? and symbol = ?", key
        ).fetchone()
        if known is None:
            connection.execute("insert into raw.origins values (?, ?, ?, ?)", [*key, *now])
        elif known != now:
            raise ConfigurationError(
                f"The stored candles of {source.symbol} under {source.exchange.called} are {known[1]} candles of "
                f"{known[0]}, but the settings name {now[1]} candles of {now[0]}. Restore `id` and `market_type`, or "
                "give the exchange another `name`, so that both are kept apart."
            )
