"""Parquet in memory, without threads: for small files and short-lived processes."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(content: bytes, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as a table, with all columns or the named ones; page checksums are verified.

    `pyarrow.parquet.read_table` uses the threads of its dataset module; one in a dozen processes that exit soon after
    is aborted ("terminate called without an active exception").

    Raises:
        pyarrow.ArrowException, OSError: the file is broken.
    """
    file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True, pre_buffer=False)
    return file.read(columns=columns, use_threads=False)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a compressed Parquet file with page checksums."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()
