"""Keys of workers: those of lent machines, which a home knows by digests and public keys, and that of the home itself.

A lent machine has two: a password for the gateway of the Prefect server (`flows.server.gateway`), of which the home
keeps the SHA-256, and a key that signs its results (`ml.execution.result_signatures`), of which it keeps the public
half. Both are shown once, in the line that `candleworks lend` prints. The home signs with a key of its own, since its
workers run where its files are. All of it is in files of mode 0600 in the home, never in the store.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.workspace.secret import USER
from flows.workspace.secret_files import delete_remedy, read_secret_file, write_secret_file
from ml.errors import ConfigurationError, ServiceError
from ml.execution.arrivals import Signer, Signers
from ml.signatures import SigningKey

Pool = Literal["cpu", "gpu"]
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
PASSWORD_BYTES = 32


class LentMachine(BaseModel):
    """A machine that was lent, or is no longer. Its name is never given to another one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pool: Pool
    digest: str = Field(description="SHA-256 of its password, in hexadecimal digits.")
    public: str
    lent_at: str
    revoked_at: str = ""

    def has_password(self, password: str) -> bool:
        """Whether it is lent and this is its password."""
        return not self.revoked_at and hmac.compare_digest(self.digest, _digest(password))


class _Machines(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid")

    machines: list[LentMachine] = []


@dataclass(frozen=True)
class Lent:
    """What a machine gets when it is lent."""

    machine: LentMachine
    password: str
    key: SigningKey


def machines_path(home: Path) -> Path:
    """The file of the machines that a home has lent."""
    return home / "lent-machines.json"


def lent_machines(home: Path) -> list[LentMachine]:
    """All machines that were ever lent, in that order.

    Raises:
        ServiceError: others may read the file, or it is broken.
    """
    path = machines_path(home)
    remedy = "Restore it from a backup of this home, or delete it and lend the machines anew under other names."
    try:
        return _Machines.model_validate_json(read_secret_file(path, remedy)).machines
    except FileNotFoundError:
        return []
    except ValidationError:
        raise ServiceError(f"{path} is not a list of lent machines. {remedy}") from None


def lend(home: Path, name: str, pool: Pool, now: datetime) -> Lent:
    """Add a machine, with a new password and a new key.

    Args:
        home: Home of the workspace.
        name: Of the machine; "" chooses one.
        pool: Work pool whose chunks it does.
        now: UTC.

    Raises:
        ConfigurationError: the name has another form or was given before.
        ServiceError: the file of machines cannot be used.
    """
    known = lent_machines(home)
    names = {machine.name for machine in known}
    name = name or next(free for number in range(1, len(names) + 2) if (free := f"{pool}-{number}") not in names)
    if not NAME.fullmatch(name) or name in (USER, socket.gethostname()):
        raise ConfigurationError(
            f"{name!r} is no name for a lent machine. Choose 1 to 40 lower-case letters, digits and hyphens, not "
            f"{USER} or the name of this machine."
        )
    if name in names:
        raise ConfigurationError(
            f"{name} was lent before, and its keys are shown only once. Choose another name; "
            f"`candleworks lend {name} --revoke` ends the earlier keys."
        )
    password, key = secrets.token_urlsafe(PASSWORD_BYTES), SigningKey.create()
    at = now.isoformat(timespec="seconds")
    machine = LentMachine(name=name, pool=pool, digest=_digest(password), public=key.public, lent_at=at)
    _write(home, [*known, machine])
    return Lent(machine, password, key)


def revoke(home: Path, name: str, now: datetime) -> LentMachine:
    """End the keys of a machine; results that arrived before stay.

    Raises:
        ConfigurationError: no machine has the name, or it was revoked before.
    """
    known = {machine.name: machine for machine in lent_machines(home)}
    lent = [machine.name for machine in known.values() if not machine.revoked_at]
    if name not in lent:
        raise ConfigurationError(
            f"No machine is lent under the name {name!r}. Lent are: {', '.join(lent) or 'none'}. "
            "`candleworks lend --list` shows all."
        )
    known[name] = known[name].model_copy(update={"revoked_at": now.isoformat(timespec="seconds")})
    _write(home, list(known.values()))
    return known[name]


def home_worker_key(home: Path) -> SigningKey:
    """The key with which workers on the machine of the home sign results, made when it is first needed.

    Raises:
        ServiceError: others may read its file, or it is broken.
    """
    path = home / "worker-key"
    with suppress(FileNotFoundError):
        return _read_key(path)
    write_secret_file(path, SigningKey.create().text)
    return _read_key(path)  # of several processes that made one at once all use the first


def _read_key(path: Path) -> SigningKey:
    text = read_secret_file(path, delete_remedy(path))
    try:
        return SigningKey(text)
    except ConfigurationError:
        raise ServiceError(f"{path} holds no key. {delete_remedy(path)}") from None


def signers_of(home: Path) -> Signers:
    """The keys whose results a home accepts, and those it no longer does."""
    machines = {one.public: Signer(one.name, revoked=bool(one.revoked_at)) for one in lent_machines(home)}
    return {**machines, home_worker_key(home).public: Signer()}


def _write(home: Path, machines: list[LentMachine]) -> None:
    write_secret_file(machines_path(home), _Machines(machines=machines).model_dump_json(), replace=True)


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
