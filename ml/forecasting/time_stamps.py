"""Anchors: heads of the chains with the signature and the time of a time-stamp authority (RFC 3161).

``anchors/<name>.json`` has the heads and the authority's answer, whose signature covers their canonical JSON. It proves
that these records existed at that time, also to those who trust neither the store nor the key of the home. Each chain
must have the anchored hash at the anchored number.

Source: RFC 3161, https://www.rfc-editor.org/rfc/rfc3161
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypedDict

from cryptography import x509
from cryptography.x509.oid import NameOID
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from ml.canonical import canonical_json
from ml.errors import StoreError
from ml.forecasting.trust import Anchor
from ml.records import ChainHead
from ml.store import Store
from ml.texts import one_line

FOLDER = "anchors"


class AnchorRecord(TypedDict):
    """The content of an anchor's file; `answer` is base64."""

    heads: list[ChainHead]
    answer: str


def stamp_request(heads: Sequence[ChainHead]) -> tuple[bytes, int | None]:
    """The request for a time stamp of heads, and its nonce."""
    builder = TimestampRequestBuilder().data(_content(heads)).hash_algorithm(HashAlgorithm.SHA256)
    request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    return request.as_bytes(), request.nonce


def checked_stamp(
    answer: bytes, heads: Sequence[ChainHead], roots: Sequence[x509.Certificate], nonce: int | None = None
) -> tuple[datetime, str]:
    """Time and authority of an answer.

    Args:
        answer: DER of the response.
        heads: which it must have stamped.
        roots: certificates of the trusted authorities.
        nonce: of the request, for an answer that was just received.

    Raises:
        ValueError: it is no answer, refuses, is of other heads, or not signed by a trusted authority.
    """
    response = decode_timestamp_response(answer)
    builder = VerifierBuilder(roots=list(roots))
    try:
        (builder if nonce is None else builder.nonce(nonce)).build().verify_message(response, _content(heads))
    except VerificationError as error:
        raise ValueError(str(error)) from error
    return response.tst_info.gen_time, _authority(response)


def anchor_path(name: str) -> str:
    """The file of an anchor."""
    return f"{FOLDER}/{name}.json"


def write_anchor(store: Store, name: str, heads: Sequence[ChainHead], answer: bytes) -> None:
    """Store an anchor.

    Raises:
        FileExistsError: another process wrote it.
    """
    record: AnchorRecord = {"heads": list(heads), "answer": base64.b64encode(answer).decode()}
    store.create(anchor_path(name), canonical_json(record).encode())


def read_anchors(store: Store, trusted: Callable[[], Sequence[x509.Certificate]]) -> tuple[list[Anchor], str]:
    """All valid anchors, oldest first, and the error of the first file that is none; "" where all are valid.

    Args:
        store: with the anchors.
        trusted: gives the certificates of the trusted authorities; called only where there is an anchor.
    """
    anchors, problem, paths = [], "", store.list(FOLDER)
    roots = trusted() if paths else ()
    for path in paths:
        try:
            record: AnchorRecord = json.loads(store.read(path))
            time, authority = checked_stamp(base64.b64decode(record["answer"]), record["heads"], roots)
            anchors.append(Anchor(tuple(record["heads"]), time, authority))
        except (ValueError, KeyError, TypeError, StoreError) as error:
            problem = problem or f"{path} is no anchor of a trusted authority ({one_line(error)})"
    return sorted(anchors, key=lambda anchor: anchor.time), problem


def _content(heads: Sequence[ChainHead]) -> bytes:
    return canonical_json(list(heads)).encode()


def _authority(response: TimeStampResponse) -> str:
    """The common name of the certificate that signed."""
    (signer,) = response.signed_data.signer_infos
    for encoded in response.signed_data.certificates:
        certificate = x509.load_der_x509_certificate(encoded)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return str(names[0].value) if names else certificate.subject.rfc4514_string()
    raise ValueError("it lacks the certificate of its signer")
