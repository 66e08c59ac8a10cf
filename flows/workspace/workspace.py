"""A workspace: one home folder with its settings, warehouse and store. Every step of a flow starts from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from flows.pools.local_pool import LocalPool
from flows.settings import Settings, load_settings
from flows.workspace.database import Warehouse
from flows.workspace.loads import last_load_ms
from flows.workspace.signing import find_key, home_key
from flows.workspace.worker_keys import home_worker_key, signers_of
from ml.errors import StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.trust import Sealer, Trust
from ml.store import Store

if TYPE_CHECKING:
    from ml.execution.arrivals import Refusal

DEFAULT_HOME = Path(".candleworks")
#: The file in a home that has the order of arrival of results.
ARRIVALS = "arrivals.sqlite"


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
        """The store, its keys up to date; results count in the order of their arrival in this home."""
        from ml.execution.former_keys import bring_up_to_date  # noqa: PLC0415 - loads the models, `--help` needs none

        bring_up_to_date(Store(self.store_url))
        return home_store(self.store_url, self.home)

    @property
    def place(self) -> tuple[str, str]:
        """URL of the store, and the home: the arguments of `home_store`."""
        return self.store_url, str(self.home)

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
        """Worker processes of this machine, in the configured number, that log into ``logs/workers.log``.

        Raises:
            ServiceError: others may read the key with which they sign their results.
        """
        return LocalPool(self.settings.sweep.processes, self.logs / "workers.log", home_worker_key(self.home).text)

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


def home_store(store_url: str, home: str | Path) -> Store:
    """A store with the order of arrival of its home; for worker processes, which get both as texts."""
    from ml.execution.arrivals import Arrivals, HomeStore  # noqa: PLC0415 - `--help` needs none

    folder = Path(home)
    return HomeStore(store_url, Arrivals(folder / ARRIVALS, partial(signers_of, folder)))


def refusals_of(home: Path) -> list[Refusal]:
    """The result files that a home has set aside, oldest first."""
    from ml.execution.arrivals import Arrivals  # noqa: PLC0415 - see `home_store`

    return Arrivals(home / ARRIVALS, dict).refusals()


def open_workspace(home: str | Path | None, config: str | Path | None) -> Workspace:
    """The workspace in `home` (default ``.candleworks``) with the settings of `config`.

    Raises:
        ConfigurationError: the settings are wrong.
    """
    settings = load_settings(Path(config) if config else None)
    return Workspace(Path(home) if home else DEFAULT_HOME, settings)
