"""Giving every row its id: a column's value, or what the row holds."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from pool_core.errors import RowsError
from pool_core.interfaces.encoding import decode_json
from pool_core.interfaces.values import Row
from pool_core.plan.judge import list_taken
from pool_core.plan.model import Plan
from pool_core.plan.rows import encode_row
from pool_core.store.records import NewRow

__all__ = ["Occurrences", "identify_rows"]

_BUCKET_BITS = 10

_sorted_encoder = msgspec.json.Encoder(order="sorted")


def identify_rows(plan: Plan) -> Iterator[NewRow]:
    """The plan's rows with their ids and assignments, streaming.

    Without an id column the id is a hash of the row's content, with a number where the content
    occurs again: equal rows are different rows, each with answers of its own.

    Raises:
        RowsError: a row cannot be read, has no usable id, has a column that the output's layout writes
            itself, or holds what is no plain JSON value.
    """
    source = plan.rows
    assert source is not None
    output = plan.recipe.output
    taken = list_taken(output, plan.schema) if output is not None else frozenset()
    name, id_column = source.name, source.id_column
    seen = Occurrences()
    for position, (place, row) in enumerate(source.read()):
        where = f"{name}: {place}"
        data = encode_row(row, where)
        if output is not None and not taken.isdisjoint(row):
            raise RowsError(
                f"the row has a column {min(taken & row.keys())!r}, which the layout {output.layout!r} writes itself",
                where=where,
                hint="rename the column, or choose another layout, such as `long`",
            )
        row_id = _identify_by_content(row, data, seen) if id_column is None else _read_id(row, id_column, where)
        yield NewRow(row_id, place, data, plan.assign(position, row_id, row))


def _read_id(row: Row, column: str, where: str) -> str:
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        found = "has none" if column not in row else f"has {value!r}"
        raise RowsError(f"an id must be text or a whole number; the row {found} in {column!r}", where=where)
    text = str(value)
    if text.isascii():
        return text
    try:
        return text.encode().decode()
    except UnicodeEncodeError as error:
        raise RowsError(f"the id {value!r} is no valid text", where=where) from error


def _identify_by_content(row: Row, data: bytes, seen: Occurrences) -> str:
    """A hash that does not depend on the order of the columns, then ``-2``, ``-3`` ... for repetitions."""
    try:
        content = _sorted_encoder.encode(dict(row))
    except (UnicodeEncodeError, TypeError):  # lone surrogates, keys that are numbers
        content = json.dumps(decode_json(data), sort_keys=True).encode()
    digest = blake2b(content, digest_size=8)
    count = seen.count(int.from_bytes(digest.digest(), "big"))
    return digest.hexdigest() if count == 1 else f"{digest.hexdigest()}-{count}"


class Occurrences:
    """How often each number of 64 bits has come up: 12 bytes for each, as there may be millions.

    A dictionary takes ten times as much. The arrays are sorted, and many, so that an insertion moves little.
    """

    def __init__(self) -> None:
        self._numbers = [array("Q") for _ in range(1 << _BUCKET_BITS)]
        self._counts = [array("I") for _ in range(1 << _BUCKET_BITS)]

    def count(self, number: int) -> int:
        """Count one more occurrence of ``number``. Returns how many there are now."""
        bucket = number >> (64 - _BUCKET_BITS)
        numbers, counts = self._numbers[bucket], self._counts[bucket]
        at = bisect_left(numbers, number)
        if at < len(numbers) and numbers[at] == number:
            counts[at] += 1
        else:
            numbers.insert(at, number)
            counts.insert(at, 1)
        return counts[at]
