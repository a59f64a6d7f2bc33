"""The conformance classes of Parquet, which need pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pool_core.testing import ReaderConformance, ReaderExample, Supports, WriterConformance

__all__ = ["TestParquetReader", "TestParquetWriter"]

_COLUMNS = {"text": "str", "note": "str?", "count": "int?", "share": "float?", "sure": "bool", "tags": "list[str]"}


def _write(rows: Sequence[Mapping[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    types = [pa.string(), pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.list_(pa.string())]
    schema = pa.schema(dict(zip(_COLUMNS, types, strict=True)))
    with pq.ParquetWriter(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), row_group_size=1000)
    return bytes(sink.getvalue())


_ROW = {"text": "a", "note": None, "count": 1, "share": 0.5, "sure": True, "tags": ["x"]}


class TestParquetReader(ReaderConformance):
    use = "standard/parquet"
    supports = Supports(schema=True)
    suffix = ".parquet"
    columns = _COLUMNS
    examples = (ReaderExample(_write([_ROW, _ROW]), [_ROW, _ROW]), ReaderExample(_write([_ROW])[:-9], None))

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        return _write(rows)


class TestParquetWriter(WriterConformance):
    use = "standard/parquet"
    supports = Supports(types=True)
    suffix = ".parquet"
    columns = _COLUMNS

    def decode(self, content: bytes) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
        return found
