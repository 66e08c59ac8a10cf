"""The tree of errors with a message for users.

CandleworksError
├── ConfigurationError   the settings are wrong; nothing was started
├── CandleDataError      candles or values of exogenous series, or their files, are missing or broken
├── StoreError           the store or the warehouse cannot be read or written
│   ├── DatasetError     a dataset is missing from the store, or broken
│   ├── DamagedError     a stored file is not what it was written as
│   └── StoreIOError     a read or write of the store failed, and may succeed when it is tried again
├── ExchangeError        the exchange did not answer, after retries
├── CaseError            a test case or a search space cannot be built
│   └── FaultsError      search spaces have faults, one line each
├── PredictionError      a model's output failed its checks
└── ServiceError         a server, port or child process failed or is already in use

Each message is one line (FaultsError: one per fault) that states the problem, the place and the remedy. The command
line prints it and exits with `exit_code`; any other exception is a bug and shows its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class CandleworksError(Exception):
    """Base of all errors with a remedy. `exit_code` is what the command line returns."""

    exit_code = 2

    def lines(self) -> list[str]:
        """The printed message: one line."""
        return [" ".join(str(self).split())]


class ConfigurationError(CandleworksError):
    """A setting is unknown, out of range or contradicts another."""


class CandleDataError(CandleworksError):
    """Candles are missing, broken or not of the requested kind."""


class StoreError(CandleworksError):
    """The store or the warehouse cannot be read or written."""


class DatasetError(StoreError):
    """A dataset is not in the store (any more), is broken or of another schema."""


class DamagedError(StoreError):
    """A stored file is empty, cut off, changed, or of another kind."""


class StoreIOError(StoreError):
    """A read or write of the store failed: no connection, no space, no permission."""


class ExchangeError(CandleworksError):
    """The exchange failed after all retries."""


class CaseError(CandleworksError):
    """A test case or search space is impossible."""


class FaultsError(CaseError):
    """Search spaces have faults.

    Args:
        where: the file, or the catalogue they were checked against.
        faults: one line each.
    """

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self._lines = [f"{where}: {faults[0]}"] if len(faults) == 1 else [f"{where} has {len(faults)} faults:", *faults]
        super().__init__("\n".join(self._lines))

    def lines(self) -> list[str]:
        return self._lines


class PredictionError(CandleworksError):
    """A prediction has the wrong shape, is not finite or is not a valid candle."""


class ServiceError(CandleworksError):
    """A server or child process did not start, or its port is in use."""
