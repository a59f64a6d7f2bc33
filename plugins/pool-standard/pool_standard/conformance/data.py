"""The conformance classes of readers and writers that need nothing more."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pool_core.testing import ReaderConformance, ReaderExample, Supports, WriterConformance

__all__ = ["TestCsvReader", "TestCsvWriter", "TestJsonLinesReader", "TestJsonLinesWriter"]

_COLUMNS = {"text": "str", "note": "str?", "count": "int?", "share": "float?", "sure": "bool", "tags": "list[str]"}
_NESTED = {"inner": "{a: str, b: list[int]?}?", "map": "map[str]"}


class TestJsonLinesReader(ReaderConformance):
    use = "standard/jsonl"
    supports = Supports(schema=False)
    suffix = ".jsonl"
    columns = _COLUMNS | _NESTED
    examples = (
        ReaderExample(b'\xef\xbb\xbf{"a": 1}\n\n{"a": "x", "b": [null]}', [{"a": 1}, {"a": "x", "b": [None]}]),
        ReaderExample(b'{"a": 1}\n{"a": ', None, "line 2"),
        ReaderExample(b'{"a": 1}\n\n[1]\n', None, "line 3"),
    )

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class TestJsonLinesWriter(WriterConformance):
    use = "standard/jsonl"
    supports = Supports(types=True)
    suffix = ".jsonl"
    columns = _COLUMNS | _NESTED

    def decode(self, content: bytes) -> list[dict[str, Any]]:
        return [json.loads(line) for line in content.split(b"\n") if line]


class TestCsvReader(ReaderConformance):
    use = "standard/csv"
    supports = Supports(schema=True)
    suffix = ".csv"
    columns = {"text": "str", "other": "str"}  # noqa: RUF012 - declared as one of the class
    examples = (
        ReaderExample(b'a,b\n1,"x\ny"\n\n2,z\n', [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "z"}]),
        ReaderExample(b"a;b\n1;2\n", [{"a": "1", "b": "2"}], config={"delimiter": ";"}),
        ReaderExample(b"a,b\n1,2\n1\n", None, "line 3"),
    )

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.columns), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()


class TestCsvWriter(WriterConformance):
    use = "standard/csv"
    supports = Supports(types=False)
    suffix = ".csv"
    columns = {"text": "str", "other": "str"}  # noqa: RUF012 - as above
    config = {"escape_formulas": False}  # noqa: RUF012 - as above

    def decode(self, content: bytes) -> list[dict[str, Any]]:
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
