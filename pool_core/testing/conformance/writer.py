"""The checks of a writer: what it writes can be read again, streaming, and nothing else is touched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import PoolError
from pool_core.interfaces.data import Writer
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import PluginConformance, clip
from pool_core.testing.conformance.reader import measure_peak

__all__ = ["WriterConformance"]

Records = Sequence[Mapping[str, Any]]

_FEW, _MANY, _MORE = 1_000, 10_000, 1_000_000


class _BrokenError(Exception):
    """What records raise that break off."""


class WriterConformance(PluginConformance):
    """A writer that is what `Writer` promises.

    ::

        class TestJsonLines(WriterConformance):
            use = "standard/jsonl"
            supports = Supports(types=True)
            suffix = ".jsonl"
            columns = {"text": "str", "count": "int?", "tags": "list[str]"}

            def decode(self, content):
                return [json.loads(line) for line in content.splitlines()]
    """

    kind = "writer"
    asked = ("types",)

    #: The ending of its files.
    suffix: ClassVar[str] = ""
    #: Fields with which it is tried, and their types as texts: one of text at least.
    columns: ClassVar[Mapping[str, str]] = {}

    def decode(self, content: bytes) -> list[dict[str, Any]]:
        """The records in the bytes of a file, read by anything but the pool."""
        self.fail("nobody has looked: there is no `decode`", "override `decode(content)`, which gives the records")

    # What the checks work with.

    def _schema(self) -> dict[str, FieldType]:
        schema = {name: parse_type(text) for name, text in self.columns.items()}
        if not any(type_.kind == "str" for type_ in schema.values()):
            self.fail("nobody has looked: there is no field of text to try", "give `columns`, such as {'text': 'str'}")
        return schema

    def _draw_records(self) -> st.SearchStrategy[list[dict[str, Any]]]:
        fields = {name: hostile.draw_value(type_) for name, type_ in self._schema().items()}
        return st.lists(st.fixed_dictionaries(fields), max_size=5)

    def _make_record(self, text: str = "some text") -> dict[str, Any]:
        """One record of the columns, with ``text`` in every field of text."""
        return {name: _make_value(type_, text) for name, type_ in self._schema().items()}

    def _write(self, records: Iterable[Mapping[str, Any]], path: Path | None = None) -> int:
        path = path or self.folder / f"out{self.suffix}"
        config = self.make_config()
        writer: Writer[Any] = self.call("making it", lambda: self.factory(path, config))
        return self.call("writing", lambda: writer.write(records, self._schema()), _BrokenError)

    def _round(self, records: Records) -> list[dict[str, Any]]:
        """The records, written and read again."""
        self._write(records)
        content = (self.folder / f"out{self.suffix}").read_bytes()
        with self.explaining(f"what was written of {clip(records)} cannot be read", "write the format whole"):
            return self.decode(content)

    # The checks.

    def test_types_are_as_declared(self) -> None:
        """With types=True the columns have others than text, and come back as what they were."""
        others = [type_ for type_ in self._schema().values() if type_.kind != "str"]
        if bool(others) != self.supports.types:
            self.fail(
                f"types={self.supports.types} is declared, and the columns are {dict(self.columns)}",
                "give columns of other types too, or declare types=False",
            )

    def test_records_come_back(self) -> None:
        """What is written can be read again, and is the same (hypothesis)."""

        @hostile.QUIET
        @given(self._draw_records())
        def try_records(records: list[dict[str, Any]]) -> None:
            if (read := self._round(records)) != records:
                self.fail(f"{clip(records)} became {clip(read)}", "lose nothing")

        try_records()

    def test_hostile_text_survives(self) -> None:
        """Line ends, quotes, NUL, formulas, markup and long text come back as they are."""
        for text in hostile.HOSTILE_TEXTS:
            record = self._make_record(text)
            if (read := self._round([record, self._make_record()])) != [record, self._make_record()]:
                self.fail(f"{clip(text)} became {clip(read)}", "quote what has a meaning in the format")

    def test_half_surrogates_fail_nothing(self) -> None:
        """Text that UTF-8 cannot hold, as models answer it, is written somehow, and the records beside it whole."""
        read = self._round([self._make_record(), self._make_record("half \ud83d pair"), self._make_record()])
        if len(read) != 3 or read[0] != self._make_record() or read[2] != self._make_record():  # noqa: PLR2004
            self.fail(f"beside text with half a surrogate pair, {clip(read)} was written", "replace it, or escape it")

    def test_missing_fields_are_null(self) -> None:
        """A record without a field of the schema is written, and the others do not shift."""
        schema, full = self._schema(), self._make_record()
        for name in schema:
            if not schema[name].nullable:
                continue
            record = {other: value for other, value in full.items() if other != name}
            read = self._round([record, full])
            if len(read) != 2 or read[0].get(name) not in (None, "") or read[1] != full:  # noqa: PLR2004
                self.fail(f"a record without {name!r} became {clip(read)}", "write null, or nothing")
            if {other: read[0].get(other) for other in record} != record:
                self.fail(f"without {name!r}, the others became {clip(read[0])}", "write fields by name")

    def test_records_are_counted(self) -> None:
        """`write` returns how many records it wrote, and prints nothing; for none it writes a whole file with none."""
        for count in (0, 1, 3):
            read = self._round([self._make_record()] * count)
            with self.listening("writing"):
                said = self._write([self._make_record()] * count)
            if said != count or len(read) != count:
                self.fail(f"of {count} records it says {said!r}, and {len(read)} are in the file", "count them")

    def test_it_streams(self) -> None:
        """Ten times as many records take no more memory: they are written as they come."""

        def make(count: int) -> Iterator[dict[str, Any]]:
            for number in range(count):
                yield self._make_record(f"text {number}")

        schema, config, path = self._schema(), self.make_config(), self.folder / f"out{self.suffix}"
        write = self.factory(path, config).write
        peaks = [measure_peak(partial(_write_made, write, make, count, schema)) for count in (_FEW, _MANY)]
        if peaks[1] > peaks[0] + _MORE:
            self.fail(
                f"{_FEW:,} records took {peaks[0]:,} bytes at most, {_MANY:,} took {peaks[1]:,}",
                "write records as they come, or in batches of a fixed size",
            )

    def test_it_is_deterministic(self) -> None:
        """The same records are the same bytes, in another process too."""
        records = [self._make_record(text) for text in hostile.HOSTILE_TEXTS[:8]]
        path, other = self.folder / f"out{self.suffix}", self.folder / f"there{self.suffix}"
        self._write(records)
        first = path.read_bytes()
        self._write(records)
        self.call_elsewhere(
            "the writer", _write_there, self.factory, other, self.make_config(), records, self._schema()
        )
        for content in (path.read_bytes(), other.read_bytes()):
            if content != first:
                self.fail(f"it wrote {clip(first)}, then {clip(content)}", "no clock, random or sets in the file")

    def test_it_replaces_what_was_there(self) -> None:
        """A file that is at its path already is written anew, not added to."""
        (self.folder / f"out{self.suffix}").write_bytes(b"something longer than before\n" * 1000)
        if (read := self._round([self._make_record()])) != [self._make_record()]:
            self.fail(f"over another file, {clip(read)} is read", "open the path for writing, from its start")

    def test_it_writes_its_path_alone(self) -> None:
        """No other file is made, when all goes well and when the records break off."""
        folder = self.folder / "alone"
        folder.mkdir(exist_ok=True)
        path = folder / f"out{self.suffix}"
        self._write([self._make_record()] * 3, path)
        self._break_off(path)
        if others := sorted(one.name for one in folder.iterdir() if one != path):
            self.fail(
                f"it leaves {', '.join(others)} behind", "write to the path that it is given: the pool renames it"
            )

    def test_records_that_break_off_are_told(self) -> None:
        """An error of the records passes through: the pool then keeps the old file."""
        if not self._break_off(self.folder / f"broken{self.suffix}"):
            self.fail("records that raised an error were written as if they were all", "let the error pass")

    def _break_off(self, path: Path) -> bool:
        def make() -> Iterator[dict[str, Any]]:
            yield self._make_record()
            raise _BrokenError

        try:
            self._write(make(), path)
        except _BrokenError:
            return True
        return False

    def test_records_are_left_alone(self) -> None:
        """`write` changes nothing of the records."""
        records = [self._make_record(text) for text in ("a", "=b")]
        before = copy.deepcopy(records)
        self._write(records)
        if records != before:
            self.fail(f"{clip(before)} became {clip(records)}", "change copies")

    def test_a_path_that_cannot_be_written_is_told(self) -> None:
        """A folder that does not exist is an `OSError` or a `PoolError`, never a run that seems complete."""
        config, path = self.make_config(), self.folder / "no-such-folder" / f"out{self.suffix}"

        def write() -> int:
            count: int = self.factory(path, config).write([self._make_record()], self._schema())
            return count

        try:
            self.call("writing into a folder that does not exist", write, OSError, PoolError)
        except (OSError, PoolError):
            return
        self.fail("writing into a folder that does not exist succeeded", "let the error pass")


def _write_made(
    write: Callable[..., int],
    make: Callable[[int], Iterator[Mapping[str, Any]]],
    count: int,
    schema: Mapping[str, FieldType],
) -> int:
    return write(make(count), schema)


def _make_value(type_: FieldType, text: str) -> Any:
    match type_.kind:
        case "list" if type_.items is not None:
            return [_make_value(type_.items, text)]
        case "map" if type_.items is not None:
            return {"key": _make_value(type_.items, text)}
        case "struct":
            return {name: _make_value(inner, text) for name, inner in type_.fields}
        case "literal":
            return type_.values[0]
        case _:
            return {"str": text, "int": 7, "float": 0.5, "bool": True}.get(type_.kind)


def _write_there(
    factory: Callable[..., Writer[Any]], path: Path, config: Any, records: Records, schema: Mapping[str, FieldType]
) -> int:
    return factory(path, config).write(records, schema)
