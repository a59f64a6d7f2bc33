"""The recording file: answers of models to prompts, one JSON object a line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Message, Prompt

__all__ = ["FORMAT", "Entry", "RecordingWriter", "encode_settings", "identify_prompt", "read_recording"]

#: Version of the format, as the header line ``{"recording": 1}`` gives it.
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a recording: what was asked and what was answered."""

    model: str
    prompt: Prompt
    sample: int
    answer: Answer
    #: The sampling parameters of the request; None where the recording does not say.
    sampling: Mapping[str, Any] | None = None


def identify_prompt(prompt: Prompt) -> Hashable:
    """What two prompts with the same messages, or the same text, have in common. The schema is no part of it."""
    if prompt.text is not None:
        return prompt.text
    return tuple(
        (message.role, message.content if isinstance(message.content, str) else _encode_sorted(message.content))
        for message in prompt.messages
    )


def encode_settings(schema: Mapping[str, Any] | None, sampling: Mapping[str, Any] | None) -> str:
    """Write what a request has besides its prompt in one comparable form."""
    return _encode_sorted([schema, sampling or {}])


def _encode_sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_make_plain)


class _MessageLine(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[dict[str, Any]]


class _EntryLine(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    prompt: str | Annotated[list[_MessageLine], msgspec.Meta(min_length=1)]
    sample: Annotated[int, msgspec.Meta(ge=0)]
    answer: Answer
    schema: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None


_ANSWER_FIELDS = tuple(field.name for field in fields(Answer))


def read_recording(path: Path) -> Iterator[Entry]:
    """Yield the entries of a recording in order, without holding the file in memory.

    Empty lines and header lines are passed over. A last line that a crash cut off is dropped: it is
    no JSON and has no line end.

    Raises:
        BackendError: the file cannot be read or a line is wrong; the message has file and line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip() or _is_torn(line):
                    continue
                entry = _read_line(line, f"{path}:{number}")
                if entry is not None:
                    yield entry
    except OSError as error:
        raise BackendError(
            Cause.BAD_REQUEST,
            f"the recording {path} cannot be read: {error.strerror}",
            hint="Check `path`; it is relative to the recipe's folder. The backend `record` makes a recording.",
        ) from error


def _is_torn(line: bytes) -> bool:
    """Whether writing ``line`` was cut off. Only the last line of a file can lack its line end."""
    if line.endswith(b"\n"):
        return False
    try:
        json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return True
    return False


def _read_line(line: bytes, where: str) -> Entry | None:
    """The entry of a line, None for a header."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BackendError(
            Cause.BAD_REQUEST,
            f"this line of the recording is no JSON: {error}",
            where=where,
            hint="Mend or delete the line.",
        ) from error
    if isinstance(value, dict) and "recording" in value:
        if value["recording"] != FORMAT:
            raise BackendError(
                Cause.BAD_REQUEST,
                f"the recording has format {value['recording']!r}, this version reads format {FORMAT}",
                where=where,
                hint="Update pool-replay.",
            )
        return None
    try:
        found = msgspec.convert(value, _EntryLine)
        _refuse_unknown(value["answer"])
    except msgspec.ValidationError as error:
        raise BackendError(
            Cause.BAD_REQUEST,
            f"this line of the recording is not an entry: {error}",
            where=where,
            hint='An entry is {"model": ..., "prompt": ..., "sample": 0, "answer": {"text": ...}}.',
        ) from error
    return Entry(found.model, _to_prompt(found), found.sample, found.answer, found.sampling)


def _refuse_unknown(answer: Mapping[str, Any]) -> None:
    unknown = sorted(answer.keys() - set(_ANSWER_FIELDS))
    if unknown:
        message = f"Object contains unknown field `{unknown[0]}` - at `$.answer`"
        raise msgspec.ValidationError(message)


def _to_prompt(line: _EntryLine) -> Prompt:
    if isinstance(line.prompt, str):
        return Prompt(text=line.prompt, schema=line.schema)
    return Prompt(tuple(Message(turn.role, turn.content) for turn in line.prompt), schema=line.schema)


class RecordingWriter:
    """Appends entries to a recording, each with one write, so that a crash can tear the last one only.

    One process at a time may write to a recording.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Start the file with its header where it is new, and take away a last line that was cut off.

        Raises:
            BackendError: the file cannot be written.
        """
        try:
            self._file = self._path.open("ab", buffering=0)
            self._mend_end(self._file)
        except OSError as error:
            self.close()
            raise self._explain(error) from error

    def append(self, entry: Entry) -> None:
        """Write ``entry`` to the end of the file.

        Raises:
            BackendError: the entry has values that JSON does not have, or the file takes no more.
        """
        if self._file is None:
            raise BackendError(Cause.PLUGIN, f"the recording {self._path} is not open", hint="Call `open` first.")
        try:
            line = json.dumps(_to_json(entry), separators=(",", ":"), default=_make_plain)
        except (TypeError, ValueError, RecursionError) as error:
            raise BackendError(
                Cause.PLUGIN,
                f"the answer of {entry.model} cannot be recorded: {error}",
                hint="A recording holds plain JSON values only.",
            ) from error
        try:
            _write_whole(self._file, f"{line}\n".encode("ascii"))
        except OSError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        """Close the file. May be called twice, and without `open`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _mend_end(self, file: BinaryIO) -> None:
        last = _read_last_line(self._path)
        if last is None:
            _write_whole(file, json.dumps({"recording": FORMAT}).encode("ascii") + b"\n")
        elif _is_torn(last):
            file.truncate(file.seek(0, 2) - len(last))
        elif not last.endswith(b"\n"):
            _write_whole(file, b"\n")

    def _explain(self, error: OSError) -> BackendError:
        return BackendError(
            Cause.BAD_REQUEST,
            f"the recording {self._path} cannot be written: {error.strerror}",
            hint="Give a `path` in a folder that exists, that you may write to, and that has space left.",
        )


def _read_last_line(path: Path) -> bytes | None:
    """The last line of a file with its line end, None where the file is empty."""
    last = None
    with path.open("rb") as file:
        for line in file:
            last = line
    return last


def _write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` in one call, or nothing of it."""
    end = file.seek(0, 2)
    written = file.write(data)
    if written != len(data):
        file.truncate(end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _to_json(entry: Entry) -> dict[str, Any]:
    prompt = entry.prompt
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    line: dict[str, Any] = {
        "model": entry.model,
        "prompt": messages if prompt.text is None else prompt.text,
        "sample": entry.sample,
    }
    if prompt.schema is not None:
        line["schema"] = prompt.schema
    if entry.sampling:
        line["sampling"] = dict(entry.sampling)
    answer = {name: getattr(entry.answer, name) for name in _ANSWER_FIELDS}
    if entry.answer.usage is not None:
        answer["usage"] = asdict(entry.answer.usage)
    line["answer"] = {name: value for name, value in answer.items() if value is not None or name == "text"}
    return line


def _make_plain(value: Any) -> Any:
    """What `json` writes for mappings and sequences that it has no word for."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    message = f"{type(value).__name__} is no JSON value"
    raise TypeError(message)
