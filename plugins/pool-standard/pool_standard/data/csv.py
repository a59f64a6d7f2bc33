"""CSV and TSV: a header line, then one record a line, as RFC 4180 has it."""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import Field, field_validator

from pool_core.errors import RowsError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader, Writer
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Row
from pool_standard.data.guards import explain_os_errors, refuse_unknown_fields
from pool_standard.data.text import replace_surrogates

__all__ = ["CsvReader", "CsvReaderConfig", "CsvWriter", "CsvWriterConfig"]

#: Most characters of one field. A quote that is never closed makes the rest of the file one field.
LONGEST_FIELD = 64 * 1024 * 1024

_DELIMITER = r'^[^"\r\n]$'
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_limit_lock = threading.Lock()


class CsvReaderConfig(PluginConfig):
    """How a CSV file is read."""

    delimiter: str | None = Field(
        None, pattern=_DELIMITER, description="Stands between values; a tab for .tsv and a comma else if not given."
    )
    encoding: str = Field("utf-8-sig", description="Encoding of the file; utf-8-sig is UTF-8 with or without a mark.")

    @field_validator("encoding")
    @classmethod
    def _know_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except (LookupError, UnicodeError) as error:
            raise ValueError(f"{encoding!r} is not a text encoding; common ones are utf-8-sig and cp1252") from error
        return encoding


class CsvWriterConfig(PluginConfig):
    """How a CSV file is written."""

    delimiter: str | None = Field(
        None, pattern=_DELIMITER, description="Stands between values; a tab for .tsv and a comma else if not given."
    )
    encoding: Literal["utf-8", "utf-8-sig", "utf-16"] = Field(
        "utf-8", description="Encoding of the file; some spreadsheets need the mark of utf-8-sig."
    )
    escape_formulas: bool = Field(
        True,
        description="Put an apostrophe before text that a spreadsheet would run as a formula (it starts with = + - @, "
        "a tab or a carriage return). Lossy: readers see the apostrophe. Numbers stay as they are.",
    )


class CsvReader(Reader[CsvReaderConfig]):
    """Reads CSV with a header line. All values are strings. Blank lines are skipped."""

    Config = CsvReaderConfig

    def read_schema(self) -> dict[str, FieldType]:
        """The columns of the header, all of them text.

        Raises:
            RowsError: as `read` does, as far as the header tells.
        """
        with self._open() as file:
            return dict.fromkeys(self._read_header(self._parse(self._refuse_undecodable(file))), FieldType("str"))

    def read(self) -> Iterator[tuple[str, Row]]:
        """Yield ``("line 12", row)``, with the line on which the record starts.

        Raises:
            RowsError: the file cannot be read, a line is no valid CSV, has more or fewer values than
                the header has columns, or the header has a column twice or without a name.
        """
        with self._open() as file:
            records = self._parse(self._refuse_undecodable(file))
            header = self._read_header(records)
            for number, values in records:
                if len(values) != len(header):
                    message = f"the line has {len(values)} values, and the header has {len(header)} columns"
                    hint = "Put values that contain the delimiter or a line break in double quotes."
                    raise self._make_error(number, message, hint)
                yield f"line {number}", dict(zip(header, values, strict=True))

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        # Bytes that are no text become half surrogate pairs here, so that `_refuse_undecodable` knows their line.
        with (
            explain_os_errors(self.path),
            self.path.open(encoding=self.config.encoding, errors="surrogateescape", newline="") as file,
        ):
            yield file

    def _read_header(self, records: Iterator[tuple[int, list[str]]]) -> list[str]:
        number, header = next(records, (1, []))
        if not header:
            raise self._make_error(number, "there is no header line", "The first line must name the columns.")
        for position, name in enumerate(header, 1):
            if not name.strip():
                message = f"column {position} of the header has no name"
                raise self._make_error(number, message, "Name the column, or remove it from the file.")
            if name in header[: position - 1]:
                message = f"the header has the column {name!r} twice"
                raise self._make_error(number, message, "Give each column a name of its own.")
        return header

    def _parse(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the line on which each record starts, and its values."""
        reader = csv.reader(lines, delimiter=_choose_delimiter(self.config.delimiter, self.path), strict=True)
        while True:
            number = reader.line_num + 1
            try:
                values = _read_with_limit(reader)
            except csv.Error as error:
                hint = "Check the quotes from this line on: a quote inside a quoted value is written twice."
                raise self._make_error(number, f"not valid CSV: {error}", hint) from error
            if values is None:
                return
            if values:
                yield number, values

    def _refuse_undecodable(self, file: Iterable[str]) -> Iterator[str]:
        message = f"not valid {self.config.encoding}"
        hint = "Set the reader's `encoding` to that of the file, such as cp1252."
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if not line.isascii() and _UNDECODABLE.search(line):
                    raise self._make_error(number, message, hint)
                yield line
        except UnicodeError as error:
            raise self._make_error(number + 1, message, hint) from error

    def _make_error(self, number: int, message: str, hint: str) -> RowsError:
        return RowsError(message, where=f"{self.path}:line {number}", hint=hint)


def _read_with_limit(reader: Iterator[list[str]]) -> list[str] | None:
    """Read one record with our field size limit. The limit is the whole process's: it is put back at once."""
    with _limit_lock:
        others = csv.field_size_limit(LONGEST_FIELD)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(others)


def _choose_delimiter(given: str | None, path: Path) -> str:
    """A temporary path may have more endings behind ``.tsv``: the last one that says something counts."""
    known = [suffix for suffix in map(str.lower, path.suffixes) if suffix in (".csv", ".tsv")]
    return given or ("\t" if known[-1:] == [".tsv"] else ",")


class CsvWriter(Writer[CsvWriterConfig]):
    """Writes CSV with a header line.

    Nested values are written as JSON, null as nothing (as is the empty string), and half surrogate
    pairs as U+FFFD.
    """

    Config = CsvWriterConfig

    def write(self, records: Iterable[Mapping[str, Any]], schema: Mapping[str, FieldType]) -> int:
        """Write ``records``; the columns are the fields of ``schema``, in its order.

        Raises:
            PoolError: a record has a field that ``schema`` does not have.
        """
        schema = dict(schema)  # it is looked at for each record, and may be found when it is asked
        count = 0
        with self.path.open("w", encoding=self.config.encoding, newline="") as file:
            # The default line end makes the csv module quote both of its characters.
            writer = csv.writer(file, delimiter=_choose_delimiter(self.config.delimiter, self.path))
            writer.writerow([self._write_text(name) for name in schema])
            for count, record in enumerate(records, 1):
                refuse_unknown_fields(record, schema, count)
                writer.writerow([self._write_value(record.get(name)) for name in schema])
        return count

    def _write_value(self, value: Any) -> str:
        if isinstance(value, str):
            return self._write_text(value)
        text = encode_json(value).decode("utf-8")
        return "" if text == "null" else text

    def _write_text(self, text: str) -> str:
        is_formula = self.config.escape_formulas and text.startswith(_FORMULA_STARTS)
        return replace_surrogates(f"'{text}" if is_formula else text)
