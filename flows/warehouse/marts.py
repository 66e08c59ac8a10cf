"""Marts: dbt over the warehouse, one half of the project at a time, with the series of the settings."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from flows.settings import Settings
from flows.warehouse.dbt_process import kept
from flows.warehouse.transform import dbt_place, rebased_series, run_dbt, write_markets, write_sources
from flows.warehouse.verdict_tables import write_verdict_tables
from flows.workspace.workspace import Workspace


def market_sources(settings: Settings) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Combined exchange and symbol -> exchange and symbol of each source; empty where nothing is combined."""
    if not settings.combine.sources:
        return {}
    return {
        (settings.exchange_name, symbol): [
            (source.exchange.called, source.symbol) for source in settings.sources(symbol)
        ]
        for symbol in settings.markets.symbols
    }


def build_command(half: str, all_tests: bool = False) -> list[str]:
    """dbt's arguments that build a half; without `all_tests` leaving out those of the night (dbt/dbt_project.yml)."""
    return ["build", "--select", f"tag:{half}", *([] if all_tests else ["--exclude", "tag:nightly"])]


def transform(workspace: Workspace, half: str, all_tests: bool = False) -> str:
    """Build the models tagged `half` ("candles" or "store") and run their tests; returns a line about it.

    Args:
        workspace: Where.
        half: "candles" or "store".
        all_tests: Also the data tests that only a change of the code can break.

    Raises:
        StoreError: a model failed; the message is dbt's own.
    """
    warehouse = workspace.warehouse
    with warehouse.locked():
        with warehouse.connect() as connection:
            settings = workspace.settings
            write_markets(connection, settings.series(), settings.markets.base_timeframe)
            write_sources(connection, market_sources(settings), settings.combine.minimal_sources)
            write_verdict_tables(connection, settings.promotion.trusted_again)
            rebased = rebased_series(connection) if half == "candles" else []
        summary = run_dbt(
            warehouse.path,
            build_command(half, all_tests),
            target_path=workspace.dbt_target,
            log_path=workspace.logs,
        )
    return f"{summary}{_rebuilt(rebased)}"


def _rebuilt(rebased: list[tuple[str, str, str]]) -> str:
    if not rebased:
        return ""
    names = ", ".join(f"{symbol} {timeframe}" for symbol, timeframe, _ in rebased)
    return f"; rebuilt, since their base timeframe is now {rebased[0][2]}: {names}"


def transforming(workspace: Workspace) -> AbstractContextManager[None]:
    """A block that will `transform`: dbt is loaded once for all of it, during its other work."""
    return kept(dbt_place(workspace.warehouse.path, target_path=workspace.dbt_target, log_path=workspace.logs))


def write_docs(workspace: Workspace) -> Path:
    """dbt's documentation as one static page, with the columns of the warehouse itself; returns its path.

    Raises:
        StoreError: dbt failed; the message is its own.
    """
    warehouse = workspace.warehouse
    with warehouse.locked():
        with warehouse.connect():
            pass  # creates the raw tables where there is no warehouse yet
        run_dbt(
            warehouse.path,
            ["docs", "generate", "--static"],
            target_path=workspace.dbt_target,
            log_path=workspace.logs,
        )
    return workspace.dbt_target / "static_index.html"
