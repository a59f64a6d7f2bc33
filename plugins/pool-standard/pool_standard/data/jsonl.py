"""JSON Lines: one JSON object a line, in UTF-8."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

import msgspec

from pool_core.errors import RowsError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader, Writer
from pool_core.interfaces.encoding import encode_lines
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Row
from pool_standard.data.guards import explain_os_errors

__all__ = ["JsonLinesReader", "JsonLinesWriter"]

#: Records that are encoded at a time.
_RECORDS_AT_ONCE = 64
_JSON_SPACE = b" \t\r\n"
# Finds every key of every object, and inside strings some text that only looks like one.
_KEY_END = re.compile(rb'"[ \t\r]*:')
_KINDS = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}


class _RefusedError(Exception):
    """A line that is no row: the reason, and what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.hint = hint


class JsonLinesReader(Reader[PluginConfig]):
    """Reads one JSON object a line. Blank lines are skipped, a byte order mark is accepted."""

    Config = PluginConfig

    def read(self) -> Iterator[tuple[str, Row]]:
        """Yield ``("line 12", row)``.

        Raises:
            RowsError: the file cannot be read, or a line is not one object in valid JSON and UTF-8,
                with different keys and finite numbers.
        """
        with explain_os_errors(self.path), self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).rstrip(_JSON_SPACE)
                if not text:
                    continue
                try:
                    row = _decode_object(text)
                except _RefusedError as error:
                    where = f"{self.path}:line {number}"
                    raise RowsError(error.reason, where=where, hint=error.hint) from error
                yield f"line {number}", row


class JsonLinesWriter(Writer[PluginConfig]):
    """Writes one JSON object a line. Never refuses a record: numbers that are not finite become null."""

    Config = PluginConfig

    def write(self, records: Iterable[Mapping[str, Any]], schema: Mapping[str, FieldType]) -> int:
        """Write ``records``; each line has the fields of its record, in their order."""
        count = 0
        remaining = (record if type(record) is dict else dict(record) for record in records)
        with self.path.open("wb") as file:
            while batch := [*islice(remaining, _RECORDS_AT_ONCE)]:
                file.write(encode_lines(batch))
                count += len(batch)
        return count


def _decode_object(line: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _decode_slowly(line)
    if not isinstance(value, dict):
        hint = 'Write one object per line, such as {"instruction": "..."}.'
        raise _RefusedError(f"the line holds {_KINDS[type(value)]}, not an object", hint)
    if len(_KEY_END.findall(line)) != len(value):
        _decode_slowly(line)  # may have a key twice, of which the fast decoder keeps the last
    return value


def _decode_slowly(line: bytes) -> Any:
    """Decode what JSON allows and msgspec does not (half surrogate pairs), and find the exact mistake."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RefusedError(f"not valid UTF-8 at byte {error.start + 1}", "Save the file as UTF-8.") from error
    try:
        return json.loads(text, parse_constant=_refuse_number, parse_float=_read_float, object_pairs_hook=_read_object)
    except json.JSONDecodeError as error:
        if line.lstrip(_JSON_SPACE).startswith(b"["):
            hint = "This looks like one JSON array; write one object per line, for example with `jq -c '.[]'`."
        else:
            hint = "Each line must be one complete JSON object; mend or remove this line."
        reason = error.msg.removesuffix(" at")
        raise _RefusedError(f"not valid JSON: {reason} at character {error.pos + 1}", hint) from error
    except RecursionError as error:
        raise _RefusedError("the value is nested too deeply", "Make the row flatter, or remove the line.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise _RefusedError("a number has too many digits", "Write the number as a string.") from error


def _refuse_number(text: str) -> NoReturn:
    raise _RefusedError(f"{text} is not a JSON number", "Write null, or a string.")


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _RefusedError("a number is too large for a 64-bit float", "Write null, or a string.")
    return number


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RefusedError(f"the key {twice!r} stands twice in one object", "Keep one of the two values.")
    return found
