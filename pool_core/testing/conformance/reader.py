"""The checks of a reader: all rows, in order, with their places, without holding the file in memory."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import RowsError
from pool_core.interfaces.data import Reader
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.values import Row
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import PluginConformance, clip
from pool_core.testing.conformance.declared import ReaderExample
from pool_core.testing.conformance.fitting import fits

__all__ = ["ReaderConformance", "measure_peak"]

Read = list[tuple[str, Row]]

#: Rows of the small and of the large file, and by how many bytes the large one may take more memory.
_FEW, _MANY, _MORE = 1_000, 10_000, 1_000_000


class ReaderConformance(PluginConformance):
    """A reader that is what `Reader` promises.

    ::

        class TestJsonLines(ReaderConformance):
            use = "standard/jsonl"
            supports = Supports(schema=False)
            suffix = ".jsonl"
            columns = {"text": "str", "count": "int?", "tags": "list[str]"}
            examples = [ReaderExample(b'{"a": 1}', [{"a": 1}]), ReaderExample(b'{"a": 1}\\n{', None, "line 2")]

            def encode(self, rows):
                return b"".join(json.dumps(row).encode() + b"\\n" for row in rows)
    """

    kind = "reader"
    asked = ("schema",)

    #: The ending of its files.
    suffix: ClassVar[str] = ""
    #: Files and what is in them: one at least that can be read, and one that cannot.
    examples: ClassVar[Sequence[ReaderExample]] = ()
    #: Columns with which the format is tried, and their types as texts.
    columns: ClassVar[Mapping[str, str]] = {}

    def encode(self, rows: Sequence[Row]) -> bytes:
        """The bytes of a file with these rows, written by anything but the pool."""
        self.fail("nobody has looked: there is no `encode`", "override `encode(rows)`, which gives a file's bytes")

    def list_configs(self) -> list[Mapping[str, Any]]:
        return [self.config, *(example.config for example in self.examples if example.config)]

    # What the checks work with.

    def _put(self, content: bytes, name: str = "rows") -> Path:
        path = self.folder / f"{name}{self.suffix}"
        path.write_bytes(content)
        return path

    def _make(self, path: Path, config: Mapping[str, Any] | None = None) -> Reader[Any]:
        made = self.make_config(config)
        reader: Reader[Any] = self.call("making it", lambda: self.factory(path, made))
        return reader

    def _read(self, path: Path, config: Mapping[str, Any] | None = None) -> Read | RowsError:
        reader = self._make(path, config)
        try:
            return self.call(f"reading {path.name}", lambda: list(reader.read()), RowsError)
        except RowsError as error:
            return error

    def _get(self, content: bytes, config: Mapping[str, Any] | None = None) -> Read:
        read = self._read(self._put(content), config)
        if isinstance(read, RowsError):
            self.fail(f"{clip(content)} cannot be read: {read}", "read it, or correct the example")
        return read

    def _examples(self, *, readable: bool) -> list[ReaderExample]:
        found = [example for example in self.examples if (example.rows is not None) == readable]
        if not found:
            what = "that can be read" if readable else "that cannot be read"
            self.fail(f"nobody has looked: there is no example of a file {what}", "give `examples`")
        return found

    def _draw_rows(self) -> st.SearchStrategy[list[dict[str, Any]]]:
        if not self.columns:
            self.fail("nobody has looked: there are no `columns` to try", "give `columns`, such as {'text': 'str'}")
        types = {name: parse_type(text) for name, text in self.columns.items()}
        return st.lists(
            st.fixed_dictionaries({name: hostile.draw_value(type_) for name, type_ in types.items()}),
            min_size=1,
            max_size=5,
        )

    # The checks.

    def test_it_reads_the_examples(self) -> None:
        """Each example's rows are there, in order and with plain JSON values, and nothing is printed."""
        for example in self._examples(readable=True):
            with self.listening("reading"):
                rows = [dict(row) for _, row in self._get(example.content, example.config)]
            if rows != [dict(row) for row in example.rows or ()]:
                self.fail(f"{clip(example.content)} gave {clip(rows)}, not {clip(example.rows)}", "correct one of them")
            with self.explaining(f"{clip(rows)} are no plain JSON values", "yield text, numbers, lists and dicts"):
                encode_json(rows)

    def test_places_are_told(self) -> None:
        """Every row has a place of its own, in a line that a person can look up."""
        for example in self._examples(readable=True):
            places = [place for place, _ in self._get(example.content, example.config)]
            for place in places:
                if not isinstance(place, str) or not place.strip() or "\n" in place:
                    self.fail(f"a place is {place!r}", "yield places such as 'line 12'")
            if len(set(places)) != len(places):
                self.fail(f"the places are {clip(places)}", "let each row have a place of its own")

    def test_it_reads_again(self) -> None:
        """A second reading gives the same, also while the first one goes on."""
        for example in self._examples(readable=True):
            reader = self._make(self._put(example.content), example.config)
            both = self.call("reading twice at a time", lambda reader=reader: _read_twice(reader))  # type: ignore[misc]
            if both[0] != both[1]:
                self.fail(f"it gave {clip(both[0])}, then {clip(both[1])}", "open the file in `read`, not before")

    def test_a_declared_schema_holds(self) -> None:
        """`read_schema` has every column, with a type that every value is of; None where schema=False is declared."""
        for example in self._examples(readable=True):
            path = self._put(example.content)
            reader = self._make(path, example.config)
            schema = self.call("read_schema", reader.read_schema)
            if (schema is not None) != self.supports.schema:
                self.fail(f"read_schema gave {schema!r}, and schema={self.supports.schema} is declared", "declare it")
            if schema is None:
                continue
            for place, row in self._get(example.content, example.config):
                for name, value in row.items():
                    if name not in schema or not fits(schema[name], value):
                        self.fail(f"{place}: {name!r} is {clip(value)}, declared is {schema.get(name)}", "declare it")

    def test_text_survives(self) -> None:
        """Rows of the declared columns come back as they were written, hostile text included (hypothesis)."""
        drawn = self._draw_rows()

        @hostile.QUIET
        @given(drawn)
        def try_rows(rows: list[dict[str, Any]]) -> None:
            content = self.encode(rows)
            read = [dict(row) for _, row in self._get(content)]
            if read != rows:
                self.fail(f"{clip(rows)} became {clip(read)}", "strip and mend nothing")

        try_rows()

    def test_broken_files_are_told(self) -> None:
        """A file that cannot be read is a `RowsError` with the file and the place, which survives pickling."""
        for example in self._examples(readable=False):
            path = self._put(example.content)
            error = self._read(path, example.config)
            if not isinstance(error, RowsError):
                self.fail(f"{clip(example.content)} was read as {clip(error)}", "raise RowsError")
            if str(path) not in str(error) or example.place not in str(error):
                self.fail(f"{error} does not say {path.name} and {example.place!r}", "where=f'{path}:{place}'")
            if not error.hint:
                self.fail(f"{error} says nothing to do", "give a hint")
            with self.explaining("its error cannot be pickled", "keep plain values in it"):
                again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
            if str(again) != str(error):
                self.fail(f"{error!r} became {again!r}", "keep plain values in it")

    def test_what_is_no_file_is_told(self) -> None:
        """A path where nothing is, and a folder, are `RowsError` with the path."""
        folder = self.folder / f"folder{self.suffix}"
        folder.mkdir(exist_ok=True)
        for path in (self.folder / f"missing{self.suffix}", folder):
            error = self._read(path)
            if not isinstance(error, RowsError) or path.name not in str(error):
                self.fail(f"{path.name}, which is no file, gave {clip(error)}", "raise RowsError with the path")

    def test_files_that_are_cut_off(self) -> None:
        """Every beginning of the examples' files gives rows or a `RowsError`."""
        for example in self._examples(readable=True):
            step = max(1, len(example.content) // 60)
            for end in range(0, len(example.content), step):
                self._read(self._put(example.content[:end]), example.config)

    def test_any_bytes(self) -> None:
        """Any bytes at all, alone and within the examples' files (hypothesis), give rows or a `RowsError`."""
        content = self._examples(readable=True)[0].content

        @hostile.QUIET
        @given(st.binary(max_size=60), st.integers(0, len(content)))
        def try_bytes(drawn: bytes, place: int) -> None:
            self._read(self._put(drawn))
            self._read(self._put(content[:place] + drawn + content[place + len(drawn) :]))

        try_bytes()

    def test_it_streams(self) -> None:
        """Ten times as many rows take no more memory."""
        rows = self._draw_fixed()
        small, large = (self._put(self.encode(rows * count), f"rows-{count}") for count in (_FEW, _MANY))
        peaks = [measure_peak(lambda path=path: self._drain(path)) for path in (small, large)]  # type: ignore[misc]
        if peaks[1] > peaks[0] + _MORE:
            self.fail(
                f"{_FEW:,} rows took {peaks[0]:,} bytes at most, {_MANY:,} took {peaks[1]:,}",
                "yield rows as they are read, and keep none",
            )

    def _draw_fixed(self) -> list[Row]:
        """One row of the columns, the same in every run."""
        if not self.columns:
            self.fail("nobody has looked: there are no `columns` to try", "give `columns`, such as {'text': 'str'}")
        values = {"str": "some text", "int": 7, "float": 0.5, "bool": True}
        return [{name: values.get(parse_type(text).kind) or _make_value(text) for name, text in self.columns.items()}]

    def _drain(self, path: Path) -> None:
        count = sum(1 for _ in self._make(path).read())
        if count not in (_FEW, _MANY):
            self.fail(f"{path.name} has {count} rows", "read all of them")

    def test_the_file_is_left_alone_and_closed(self) -> None:
        """Reading changes nothing of the file, and no handle stays open when it stops halfway."""
        for example in self._examples(readable=True):
            path = self._put(example.content)
            rows = iter(self._make(path, example.config).read())
            next(rows, None)
            getattr(rows, "close", lambda: None)()
            if path.read_bytes() != example.content:
                self.fail("the file is another one after reading", "open it for reading")
            if path.resolve() in _list_open():
                self.fail("the file is still open when reading has stopped", "use `with` around the loop")

    def test_it_works_in_another_process(self) -> None:
        """The configuration can be pickled, and another process reads the same."""
        for example in self._examples(readable=True):
            here = self._get(example.content, example.config)
            path, config = self.folder / f"rows{self.suffix}", self.make_config(example.config)
            there = self.call_elsewhere("the reader", _read_there, self.factory, path, config)
            if here != there:
                self.fail(f"it read {clip(here)}, and in another process {clip(there)}", "keep no state outside")


def measure_peak(work: Callable[[], object]) -> int:
    """Bytes of Python's memory that ``work`` had at most. What it imports on first use is there before."""
    work()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _read_twice(reader: Reader[Any]) -> tuple[Read, Read]:
    first, second = iter(reader.read()), iter(reader.read())
    head = [row for row in [next(first, None)] if row is not None]
    whole = list(second)
    return head + list(first), whole


def _read_there(factory: Callable[..., Reader[Any]], path: Path, config: Any) -> Read:
    return list(factory(path, config).read())


def _make_value(text: str) -> Any:
    type_ = parse_type(text)
    match type_.kind:
        case "list":
            return [_make_value(str(type_.items))]
        case "map":
            return {"key": _make_value(str(type_.items))}
        case "struct":
            return {name: _make_value(str(inner)) for name, inner in type_.fields}
        case "literal":
            return type_.values[0]
        case _:
            return {"str": "some text", "int": 7, "float": 0.5, "bool": True}.get(type_.kind)


def _list_open() -> set[Path]:
    """The files that this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    found = set()
    for handle in list(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.add(handle.readlink())
        except OSError:
            continue
    return found
