"""A workspace: one home folder with its settings, warehouse and store. Every step of a flow starts from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from flows.pools.local_pool import LocalPool
from flows.settings import Settings, load_settings
from flows.workspace.database import Warehouse
from flows.workspace.loads import last_load_ms
from flows.workspace.signing import find_key, home_key
from ml.errors import StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.trust import Sealer, Trust
from ml.store import Store

DEFAULT_HOME = Path(".candleworks")


@dataclass(frozen=True)
class Workspace:
    """The folder of all files (`home`) and the settings."""

    home: Path
    settings: Settings

    @property
    def store_url(self) -> str:
        """The store's URL; by default the folder ``store`` in the home."""
        return self.settings.storage.url or str(self.home / "store")

    @cached_property
    def store(self) -> Store:
        """The store, its keys up to date."""
        from ml.execution.former_keys import bring_up_to_date  # noqa: PLC0415 - loads the models, `--help` needs none

        store = Store(self.store_url)
        bring_up_to_date(store)
        return store

    @cached_property
    def sealer(self) -> Sealer:
        """Seals records with the key of this home, which is made if there is none yet.

        Raises:
            ServiceError: the key was lost, is broken, or others may read it.
        """
        found = home_key(self.home, self.store, datetime.now(UTC))
        # A recorded exchange has the time of its candles.
        replayed = any(exchange.base_url for exchange in self.settings.exchanges())
        return Sealer(found.key, found.trust, replayed)

    def chain(self, name: str) -> Chain:
        """A chain of the store, to append records to it."""
        return Chain(self.store, name, self.sealer)

    def trust(self) -> Trust | None:
        """Which records of the chains this home accepts; None before it has sealed one.

        Raises:
            ServiceError: see `sealer`.
        """
        found = find_key(self.home, self.store)
        return found.trust if found else None

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.home / "warehouse.duckdb")

    @property
    def dbt_target(self) -> Path:
        """dbt's artefacts: manifest, compiled SQL, docs."""
        return self.home / "dbt"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def last_load_ms(self) -> int | None:
        """`flows.workspace.loads.last_load_ms` of the warehouse."""
        with self.warehouse.locked(), self.warehouse.connect() as connection:
            return last_load_ms(connection)

    def local_pool(self) -> LocalPool:
        """Worker processes of this machine, in the configured number, that log into ``logs/workers.log``."""
        return LocalPool(self.settings.sweep.processes, self.logs / "workers.log")

    def check_writable(self) -> None:
        """Fail before any work if its results could not be stored.

        Raises:
            StoreError: home or store cannot be written.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            probe = self.home / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"Cannot write to the home {self.home} ({error.strerror}). Choose another with --home."
            ) from error
        self.store.check_writable()
        self.store.require_schema()


def open_workspace(home: str | Path | None, config: str | Path | None) -> Workspace:
    """The workspace in `home` (default ``.candleworks``) with the settings of `config`.

    Raises:
        ConfigurationError: the settings are wrong.
    """
    settings = load_settings(Path(config) if config else None)
    return Workspace(Path(home) if home else DEFAULT_HOME, settings)
