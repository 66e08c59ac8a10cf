"""Parquet in memory, without threads: small files, and processes that end right afterwards."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(content: bytes, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as a table, with all columns or those that are named; checksums of its pages are verified.

    `pyarrow.parquet.read_table` reads through the threads of its dataset module. One process in a dozen that ends soon
    after is aborted then ("terminate called without an active exception").

    Raises:
        pyarrow.ArrowException, OSError: the file is broken.
    """
    file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True, pre_buffer=False)
    return file.read(columns=columns, use_threads=False)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file, compressed, with checksums of its pages."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()
