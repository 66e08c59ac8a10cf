"""Signatures of result files: a worker signs the whole file with its key, inside the file.

The signature is in the metadata of the Parquet footer, where readers that do not know it ignore it. It covers all other
bytes: the file is signed with zeros in the place of the signature, which is then written over them.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from ml.signatures import SigningKey, is_signed

NAME = "candleworks.signature"
#: Of a signature in base64.
LENGTH = 88
_ZEROS = b"0" * LENGTH


def signed_parquet(table: pa.Table, key: SigningKey) -> bytes:
    """A table as a Parquet file, as `ml.data.parquet.parquet_bytes` writes it, signed with `key`."""
    buffer = io.BytesIO()
    mark = f"{key.public}:{_ZEROS.decode()}"
    with pq.ParquetWriter(buffer, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({NAME: mark})
    content = buffer.getvalue()
    start = content.rindex(mark.encode()) + len(mark) - LENGTH
    return content[:start] + key.sign(content).encode() + content[start + LENGTH :]


def public_key_of(content: bytes) -> str:
    """The public key that signed a Parquet file; "" of a file without a signature.

    Raises:
        ValueError: the signature does not fit the content.
        pyarrow.ArrowException, OSError: it is no Parquet file.
    """
    metadata = pq.read_metadata(io.BytesIO(content)).metadata or {}
    mark = metadata.get(NAME.encode())
    if mark is None:
        return ""
    public, _, signature = mark.decode("ascii", "replace").partition(":")
    start = content.rfind(mark) + len(mark) - LENGTH
    if len(signature) != LENGTH or start < 0:
        raise ValueError("its signature has another form")
    if not is_signed(content[:start] + _ZEROS + content[start + LENGTH :], signature, public):
        raise ValueError("its signature does not fit its content")
    return str(public)
