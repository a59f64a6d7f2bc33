"""Answers read from the raw pages of a file, whatever has become of the structure around them.

An answer was paid for, and all else can be made of the answers again. So where SQLite cannot reach them,
every page is looked at by itself, in the file and in its log, and each record that its checksum proves is
an answer. The format is that of https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

from pool_core.store.sealing import COLUMNS, is_intact

__all__ = ["AnswerRecord", "read_answers"]

#: A sealed record of the table of answers.
AnswerRecord: TypeAlias = tuple[Any, ...]
Buffer: TypeAlias = "mmap.mmap | bytes"

#: Kinds of pages that hold no records of tables; 13 are those that do.
_OTHER_KINDS = (2, 5, 10)
_LOG_HEADER, _FRAME_HEADER = 32, 24
_DEFAULT_PAGE = 4096
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
#: The columns of the table as they stand in the file, `key` apart, which is not in the record.
_STORED = (
    "created", "seconds", "request", "member", "input_tokens", "output_tokens", "cost", "checksum", "body"
)  # fmt: skip
_ORDER = [_STORED.index(name) for name in (*COLUMNS["answers"][1:], "checksum")]
_REALS = frozenset(_STORED.index(name) for name in ("created", "seconds", "cost"))


def read_answers(path: Path, *, first_frame: int = 0, log_only: bool = False) -> Iterator[AnswerRecord]:
    """Every intact answer on the pages of the file and of the log beside it. One may come several times.

    Args:
        path: the file of the run.
        first_frame: the frames of the log before this one, counted from 0, are left out.
        log_only: look at the log alone. It does not open the file: when a process closes a file, however it was
            opened, it loses the locks that SQLite holds on it.
    """
    with ExitStack() as undo:
        file = b"" if log_only else _map_file(path, undo)
        log = _map_file(path.with_name(path.name + "-wal"), undo)
        size = _read_page_size(file, log)
        frames = range(_LOG_HEADER + first_frame * (size + _FRAME_HEADER), len(log), size + _FRAME_HEADER)
        logged = {int.from_bytes(log[at : at + 4]): at + _FRAME_HEADER for at in frames}

        def read_page(number: int) -> bytes:
            """The newest version of a page."""
            if (at := logged.get(number)) is not None:
                return log[at : at + size]
            return file[(number - 1) * size : number * size] if number > 0 else b""

        for at in frames:
            yield from _read_leaf(log[at + _FRAME_HEADER : at + _FRAME_HEADER + size], read_page)
        for at in range(0, len(file), size):
            yield from _read_leaf(file[at : at + size], read_page)


def _map_file(path: Path, undo: ExitStack) -> Buffer:
    if not path.exists() or not path.stat().st_size:
        return b""
    file = undo.enter_context(path.open("rb"))
    return undo.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _read_page_size(file: Buffer, log: Buffer) -> int:
    """The page size that both headers name, or else the one that SQLite takes by itself."""
    named = {int.from_bytes(file[16:18]), int.from_bytes(log[8:12])} - {0}
    (size,) = named if len(named) == 1 else (_DEFAULT_PAGE,)
    size = 65536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 else _DEFAULT_PAGE


def _read_leaf(page: bytes, read_page: Callable[[int], bytes]) -> Iterator[AnswerRecord]:
    """The answers of a page, if it is a leaf of a table or seems to have been one."""
    if len(page) < 512 or not _seems_leaf(page):
        return
    at, lowest = 8, len(page)
    while at + 2 <= lowest:  # the header may lie about their number; they end where the first record begins
        pointer = int.from_bytes(page[at : at + 2])
        at += 2
        if not at <= pointer < len(page) - 4:
            continue
        record = _read_record(page, pointer, read_page)
        if record is not None:
            lowest = min(lowest, pointer)
            yield record


def _seems_leaf(page: bytes) -> bool:
    """Whether a page holds records, or did before its first bytes were damaged."""
    if page[0] in _OTHER_KINDS:
        return False
    if page[0]:
        return True
    # what goes on from another page begins with the number of the next one, whose first byte is 0
    count, start = struct.unpack(">HH", page[3:7])
    return count > 0 and 8 + 2 * count <= start < len(page) and page[7] <= 60


def _read_record(page: bytes, at: int, read_page: Callable[[int], bytes]) -> AnswerRecord | None:
    """The answer whose record begins at ``at``; None where there is none."""
    try:
        length, at = _read_varint(page, at)
        key, at = _read_varint(page, at)
        payload = _read_payload(page, at, length, read_page)
        values = _read_values(payload)
    except (IndexError, ValueError, struct.error):
        return None
    if values is None:
        return None
    record = (key, *(values[place] for place in _ORDER))
    return record if is_intact("answers", record) else None


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of SQLite's variable length, signed, and where it ends."""
    value = 0
    for place in range(9):
        byte = data[at + place]
        value = value << 8 | byte if place == 8 else value << 7 | byte & 0x7F
        if byte < 0x80 or place == 8:
            break
    return value - (1 << 64) if value >= 1 << 63 else value, at + place + 1


def _read_payload(page: bytes, at: int, length: int, read_page: Callable[[int], bytes]) -> bytes:
    """The ``length`` bytes of a record: what is on its page, and what has gone to pages of its own."""
    size = len(page)
    most = size - 35
    if length <= most:
        return page[at : at + length]
    least = (size - 12) * 32 // 255 - 23
    local = least + (length - least) % (size - 4)
    local = local if local <= most else least
    parts = [page[at : at + local]]
    number, missing = int.from_bytes(page[at + local : at + local + 4]), length - local
    while missing > 0:
        overflow = read_page(number)
        if len(overflow) != size:
            raise ValueError(number)
        number = int.from_bytes(overflow[:4])
        parts.append(overflow[4 : 4 + missing])
        missing -= size - 4
    return b"".join(parts)


def _read_values(payload: bytes) -> list[Any] | None:
    """The columns of a record of answers without the key; None for one of another table."""
    head, at = _read_varint(payload, 0)
    kinds = []
    while at < head:
        kind, at = _read_varint(payload, at)
        kinds.append(kind)
    if len(kinds) != len(_STORED) + 1 or kinds[0]:
        return None
    values = []
    for column, kind in enumerate(kinds[1:]):
        value, at = _read_value(payload, at, kind)
        values.append(float(value) if column in _REALS and isinstance(value, int) else value)
    return values


def _read_value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (0, 8, 9):
        return (None, 0, 1)[max(0, kind - 7)], at
    if kind == 7:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    size = _INTEGER_SIZES.get(kind) or (kind - 12) // 2
    data = payload[at : at + size]
    if kind in _INTEGER_SIZES:
        return int.from_bytes(data, signed=True), at + size
    return (data.decode("utf-8", "surrogateescape") if kind % 2 else data), at + size
