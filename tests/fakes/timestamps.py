"""A time-stamp authority (RFC 3161) on this machine: `openssl ts` behind HTTP, with a root certificate of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.local_http import QuietHandler, serving

NAME = "Candleworks test authority"
_SETTINGS = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[req]
distinguished_name = name
[name]
"""


@dataclass
class Authority:
    """A running authority: its address, root certificate, answers given, and a body to answer instead."""

    url: str
    roots: Path
    answers: list[bytes] = field(default_factory=list)
    instead: bytes | None = None
    status: int = 200


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_keys(folder: Path, name: str = NAME) -> None:
    """A root certificate and one of the authority, signed by it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "openssl.cnf"
    config.write_text(_SETTINGS.format(folder=folder))
    (folder / "serial").write_text("01\n")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", config)
    _openssl(
        *("req", "-x509", *new, "-keyout", folder / "root.key", "-out", folder / "root.pem"),
        *("-subj", f"/CN={name} root", "-extensions", "ca", "-days", "3650"),
    )
    request = folder / "tsa.csr"
    _openssl("req", *new, "-keyout", folder / "tsa.key", "-out", request, "-subj", f"/CN={name}")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", folder / "root.pem", "-CAkey", folder / "root.key"),
        *("-out", folder / "tsa.pem", "-days", "3650", "-extfile", config, "-extensions", "leaf", "-CAcreateserial"),
    )


@contextmanager
def running_authority(folder: Path, name: str = NAME) -> Iterator[Authority]:
    """An authority that answers for the block."""
    make_keys(folder, name)
    authority = Authority("", folder / "root.pem")

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            query, answer = folder / "query.tsq", folder / "answer.tsr"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            body = authority.instead
            if body is None:
                settings = folder / "openssl.cnf"
                _openssl("ts", "-reply", "-config", settings, "-queryfile", query, "-out", answer)
                body = answer.read_bytes()
                authority.answers.append(body)
            self.send_response(authority.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as address:
        authority.url = f"{address}/stamp"
        yield authority
