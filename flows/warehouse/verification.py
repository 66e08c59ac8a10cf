"""Verification of a home's chains: hashes, signatures of its key, rules of each record, and the rows in the warehouse.

The result of the last one is in the table `raw.verifications`, one row per chain; without rows nothing was verified
yet. The snapshot has it as `chains`.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
from cryptography import x509

from flows.settings import SealSettings
from flows.warehouse.load import other_records
from flows.workspace.database import transaction
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError, ServiceError
from ml.forecasting.seals import CHAINS, ChainReport, verify_chains
from ml.forecasting.time_stamps import read_anchors

_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("chain", "head", "problem", "anchored_by")]
    + [(name, pa.int64()) for name in ("records", "unsigned", "earlier_key", "replayed", "anchored")]
    + [("anchored_at", pa.timestamp("us"))]
)


def verify_home(workspace: Workspace, heads: Sequence[str] = (), keys: Sequence[str] = ()) -> list[ChainReport]:
    """Check all chains of a home, or with public `keys` those of a copy of its store; see `verify_chains`.

    Raises:
        ServiceError: the key of the home was lost though its records are signed.
        ConfigurationError: a head is malformed.
    """
    from ml.promotion.verdict_rules import VerdictRules  # noqa: PLC0415 - loads the models

    store = workspace.store
    anchors, problem = read_anchors(store, partial(trusted_roots, workspace.settings.seal))
    reports = verify_chains(store, heads, None if keys else workspace.trust(), VerdictRules(store), anchors, keys)
    return [*reports, ChainReport("anchors", len(anchors), "", problem)] if problem else reports


def reports_of(workspace: Workspace) -> list[ChainReport]:
    """`verify_home`, where a lost key and wrong settings are problems of all chains: nothing is known about any."""
    try:
        return verify_home(workspace)
    except (ServiceError, ConfigurationError) as error:
        return [ChainReport(name, 0, "", str(error)) for name in CHAINS]


def trusted_roots(settings: SealSettings) -> list[x509.Certificate]:
    """The certificates of the time-stamp authorities that are trusted.

    Raises:
        ConfigurationError: their file cannot be read.
    """
    if not settings.timestamp_roots:
        found = ssl.create_default_context().get_ca_certs(binary_form=True)
        return [x509.load_der_x509_certificate(one) for one in found]
    try:
        given: list[x509.Certificate] = x509.load_pem_x509_certificates(Path(settings.timestamp_roots).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"seal.timestamp_roots: {settings.timestamp_roots} has no certificates in PEM ({error}). Give the file of "
            "the authority's root certificates."
        ) from error
    return given


def record_verification(workspace: Workspace, now: datetime) -> list[ChainReport]:
    """Verify all chains, compare them with the rows in the warehouse, and store the result there.

    A problem is a result, not an error.

    Args:
        workspace: the home.
        now: when it is verified, UTC; shown by the page.
    """
    reports = reports_of(workspace)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        others = other_records(connection, workspace)
        reports = [replace(one, problem=one.problem or others.get(one.chain, "")) for one in reports]
        rows = pa.Table.from_pylist([vars(_stored(one)) for one in reports], schema=_SCHEMA)
        connection.register("rows", rows)
        with transaction(connection):
            connection.execute("delete from raw.verifications")
            connection.execute(
                "insert into raw.verifications by name select *, ?::timestamp as verified_at from rows",
                [now.replace(tzinfo=None)],
            )
    return reports


def _stored(report: ChainReport) -> ChainReport:
    """With a time as the warehouse keeps it: UTC without an offset."""
    anchored_at = report.anchored_at and report.anchored_at.astimezone(UTC).replace(tzinfo=None)
    return replace(report, anchored_at=anchored_at)
