"""Where rows come from, and what their first ones tell of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from pool_core.errors import RowsError
from pool_core.interfaces.data import Reader
from pool_core.interfaces.encoding import decode_json, encode_json
from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.types import ANY, Conflict, FieldType, infer_type, unify
from pool_core.interfaces.values import Row

__all__ = [
    "SAMPLE_SIZE",
    "FileRows",
    "MemoryRows",
    "ProtectedRows",
    "RowSource",
    "encode_row",
    "merge_columns",
    "take_sample",
]

#: How many rows a plan looks at.
SAMPLE_SIZE = 100


class RowSource(Protocol):
    """Rows that can be read from the start any number of times."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def id_column(self) -> str | None:
        """The column that identifies a row; None where its content does."""

    def read_schema(self) -> Mapping[str, FieldType] | None:
        """All columns that the input itself declares, None where it declares none."""

    def read(self) -> Iterator[tuple[str, Row]]:
        """Yield each row with its place."""

    def read_stamp(self) -> object:
        """Something that is another when the input has changed; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a file."""

    reader: Reader[Any]
    id_column: str | None

    @property
    def name(self) -> str:
        return str(self.reader.path)

    def read_schema(self) -> Mapping[str, FieldType] | None:
        return self.reader.read_schema()

    def read(self) -> Iterator[tuple[str, Row]]:
        stamp = self.read_stamp()
        yield from self.reader.read()
        if self.read_stamp() != stamp:
            raise RowsError(
                "the file changed while it was read", where=self.name, hint="run again when nobody writes it any more"
            )

    def read_stamp(self) -> object:
        try:
            found = self.reader.path.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino


@dataclass(frozen=True, slots=True)
class MemoryRows:
    """Rows that Python gave."""

    rows: Sequence[Row]
    id_column: str | None
    name: str = "rows"

    def read_schema(self) -> None:
        """Rows that Python gives declare nothing."""

    def read_stamp(self) -> None:
        """They are in nobody else's hands."""

    def read(self) -> Iterator[tuple[str, Row]]:
        for number, row in enumerate(self.rows, 1):
            place = f"row {number}"
            if not isinstance(row, Mapping):
                raise RowsError(f"{place} is a {type(row).__name__}, not a mapping", where=self.name)
            # as a run will read it: plain values alone
            yield place, decode_json(encode_row(row, f"{self.name}: {place}"))


@dataclass(frozen=True, slots=True)
class ProtectedRows:
    """The rows of another source for foreign eyes: they can be read, and where they come from cannot be changed."""

    _source: RowSource

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def id_column(self) -> str | None:
        return self._source.id_column

    def read_schema(self) -> Mapping[str, FieldType] | None:
        schema: Mapping[str, FieldType] | None = freeze(self._source.read_schema())
        return schema

    def read(self) -> Iterator[tuple[str, Row]]:
        return ((place, freeze(row)) for place, row in self._source.read())

    def read_stamp(self) -> object:
        return self._source.read_stamp()


def encode_row(row: Row, where: str) -> bytes:
    """A row as JSON. Raises `RowsError` where it holds what JSON has no word for."""
    try:
        return encode_json(dict(row))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RowsError(
            f"the row holds what is no plain value: {error}",
            where=where,
            hint="text, numbers, true, false, null, lists and mappings of these can be stored",
        ) from error


def take_sample(source: RowSource) -> tuple[list[Row], bool]:
    """The first rows, and whether they are all of them.

    Raises:
        RowsError: they cannot be read, or there is none.
    """
    sample = [row for _, row in islice(source.read(), SAMPLE_SIZE + 1)]
    if not sample:
        raise RowsError("there are no rows", where=source.name, hint="a run needs at least one")
    return sample[:SAMPLE_SIZE], len(sample) <= SAMPLE_SIZE


def merge_columns(rows: Iterable[Row]) -> dict[str, FieldType]:
    """The columns of ``rows`` and the types that hold all their values; what some rows lack is nullable."""
    columns: dict[str, FieldType] = {}
    seen: dict[str, int] = {}
    count = 0
    for row in rows:
        count += 1
        for name, value in row.items():
            found = infer_type(value)
            known = columns.get(name, found)
            if known != found:
                merged = unify(known, found)
                found = ANY if isinstance(merged, Conflict) else merged
            columns[name] = found
            seen[name] = seen.get(name, 0) + 1
    return {name: type_ if seen[name] == count else _make_nullable(type_) for name, type_ in columns.items()}


def _make_nullable(type_: FieldType) -> FieldType:
    return replace(type_, nullable=True)
