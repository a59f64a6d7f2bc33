"""Apache Parquet, by way of pyarrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from pool_core.errors import PoolError, RowsError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader, Writer
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Row
from pool_standard.data.arrow import MisfitError, plan_check, plan_fit, to_arrow_schema
from pool_standard.data.guards import explain_os_errors, refuse_unknown_fields
from pool_standard.data.plain import Reading, UnreadableError, describe_type, plan_reading

__all__ = ["ParquetReader", "ParquetWriter", "ParquetWriterConfig"]

_ROWS_PER_BATCH = 1000


class ParquetWriterConfig(PluginConfig):
    """How a Parquet file is written."""

    batch_size: int = Field(1000, ge=1, description="Records per row group; this many are in memory at a time.")


class ParquetReader(Reader[PluginConfig]):
    """Reads Parquet. What JSON has no word for is read as text: `plan_reading` says how."""

    Config = PluginConfig

    def read_schema(self) -> dict[str, FieldType]:
        """The columns and the types of the plain values that `read` yields.

        Raises:
            RowsError: as `read` does, as far as the file's end and its columns tell.
        """
        with self._open() as parquet:
            schema = parquet.schema_arrow
            self._plan_columns(schema)
            return {field.name: describe_type(field.type, nullable=field.nullable) for field in schema}

    def read(self) -> Iterator[tuple[str, Row]]:
        """Yield ``("row 12", row)``, counted from 1.

        Raises:
            RowsError: the file cannot be read or is no Parquet file, or a column's type or a value
                has no plain JSON value.
        """
        with self._open() as parquet:
            yield from self._read_batches(parquet)

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        with explain_os_errors(self.path), self.path.open("rb") as file:
            try:
                parquet = pq.ParquetFile(file)
                parquet.schema_arrow  # noqa: B018 - names of columns that are no UTF-8 are found when they are read
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                hint = "Check that the file is complete, or set the reader that fits its format."
                raise RowsError(f"not a Parquet file: {_say(error)}", where=str(self.path), hint=hint) from error
            with parquet:
                yield parquet

    def _read_batches(self, parquet: pq.ParquetFile) -> Iterator[tuple[str, Row]]:
        readings = self._plan_columns(parquet.schema_arrow)
        number = 0
        batches = parquet.iter_batches(batch_size=_ROWS_PER_BATCH)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                columns = zip(readings.items(), batch.columns, strict=True)
                rows = pa.RecordBatch.from_arrays([r.cast(column) for (_, r), column in columns], list(readings))
                plain_rows = rows.to_pylist()
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                where = f"{self.path}:row {number + 1} or after"
                hint = "Check that the file is complete, or write it again."
                raise RowsError(f"the file cannot be read on: {_say(error)}", where=where, hint=hint) from error
            for row in plain_rows:
                number += 1
                try:
                    plain = _make_plain(row, readings)
                except UnreadableError as error:
                    where = f"{self.path}:row {number}"
                    raise RowsError(str(error), where=where, hint="Mend the value, or write it as a string.") from error
                yield f"row {number}", plain

    def _plan_columns(self, schema: pa.Schema) -> dict[str, Reading]:
        where = str(self.path)
        if len(set(schema.names)) != len(schema.names):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            hint = "Give each column a name of its own."
            raise RowsError(f"the file has the column {twice!r} twice", where=where, hint=hint)
        try:
            return {field.name: plan_reading(field.type, field.name) for field in schema}
        except UnreadableError as error:
            hint = "Write the column as strings, or leave it out of the file."
            raise RowsError(str(error), where=where, hint=hint) from error


def _say(error: Exception) -> str:
    """An error of Arrow's in one printable line: it may quote the file."""
    return "".join(character if character.isprintable() else " " for character in str(error).strip())


def _make_plain(row: dict[str, Any], readings: Mapping[str, Reading]) -> dict[str, Any]:
    return {
        name: value if (convert := readings[name].convert) is None or value is None else convert(value)
        for name, value in row.items()
    }


class ParquetWriter(Writer[ParquetWriterConfig]):
    """Writes Parquet with zstd compression and the Arrow types of `to_arrow`."""

    Config = ParquetWriterConfig

    def write(self, records: Iterable[Mapping[str, Any]], schema: Mapping[str, FieldType]) -> int:
        """Write ``records``; the columns are the fields of ``schema``, in its order.

        Raises:
            PoolError: a value does not fit its field's type, or a record has a field that ``schema`` does not have.
        """
        schema = dict(schema)  # it is looked at for each record, and may be found when it is asked
        arrow_schema = to_arrow_schema(schema)
        columns = [_Column(field, *named) for field, named in zip(arrow_schema, schema.items(), strict=True)]
        remaining = iter(records)
        count = 0
        # the next records are read while the last are compressed
        with (
            pq.ParquetWriter(str(self.path), arrow_schema, compression="zstd") as writer,
            ThreadPoolExecutor(1) as aside,
        ):
            written: Future[None] | None = None
            while batch := [*islice(remaining, self.config.batch_size)]:
                for number, record in enumerate(batch, count + 1):
                    refuse_unknown_fields(record, schema, number)
                table = pa.Table.from_arrays(
                    [column.convert(batch, count + 1) for column in columns], schema=arrow_schema
                )
                if written is not None:
                    written.result()
                written = aside.submit(writer.write_table, table)
                count += len(batch)
            if written is not None:
                written.result()
        return count


class _Column:
    """A column that is written."""

    def __init__(self, field: pa.Field, name: str, type_: FieldType) -> None:
        self._type = field.type
        self._name = name
        self._check = plan_check(type_)
        self._fit = plan_fit(type_)

    def convert(self, records: Sequence[Mapping[str, Any]], first: int) -> pa.Array:
        """Its values in ``records``, the first of which has the number ``first``.

        Raises:
            PoolError: a value does not fit.
        """
        values = [record.get(self._name) for record in records]
        if self._check(values):
            with suppress(UnicodeEncodeError, OverflowError, pa.ArrowException):  # the slow way says which value it is
                return pa.array(values, self._type)
        return pa.array([self._fit_value(value, number) for number, value in enumerate(values, first)], self._type)

    def _fit_value(self, value: Any, number: int) -> Any:
        try:
            return self._fit(value)
        except MisfitError as error:
            hint = "Write JSON Lines, which holds any value, or change what the task or the rows give."
            where = f"record {number}, field {self._name + error.path!r}"
            raise PoolError(error.reason, where=where, hint=hint) from error
