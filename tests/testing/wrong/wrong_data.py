"""A right reader and writer of lines of JSON, and ones that break one promise each."""

import itertools
import json
import os

from pool_core.errors import RowsError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader, Writer
from pool_core.interfaces.types import FieldType

KEPT = []
NUMBERS = itertools.count()


class RightReader(Reader[PluginConfig]):
    Config = PluginConfig

    def read(self):
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    row = self.decode(line, f"{self.path}:line {number}")
                    yield f"line {number}", row
        except OSError as error:
            raise RowsError(f"{error.strerror}", where=str(self.path), hint="look") from error

    def decode(self, line, where):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RowsError("no JSON", where=where, hint="mend it") from error
        if not isinstance(row, dict):
            raise RowsError("no object", where=where, hint="mend it")
        return row


class SkipsFirst(RightReader):
    def read(self):
        yield from list(super().read())[1:]


class SamePlace(RightReader):
    def read(self):
        for _, row in super().read():
            yield "a line", row


class OpensBefore(RightReader):
    def __init__(self, path, config):
        super().__init__(path, config)
        self._rows = super().read()

    def read(self):
        return self._rows


class OddSchema(RightReader):
    def read_schema(self):
        return {"a": FieldType("bool")}


class Strips(RightReader):
    def read(self):
        for place, row in super().read():
            yield place, {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}


class NoPlace(RightReader):
    def decode(self, line, where):
        return super().decode(line, "")


class LetsErrorsPass(RightReader):
    def read(self):
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield f"line {number}", self.decode(line, f"{self.path}:line {number}")


class NeedsJson(RightReader):
    def decode(self, line, where):
        return json.loads(line)


class KeepsAll(RightReader):
    def read(self):
        yield from list(super().read())


class LeavesOpen(RightReader):
    def read(self):
        file = self.path.open("rb")
        KEPT.append(file)
        for number, line in enumerate(file, 1):
            yield f"line {number}", self.decode(line, f"{self.path}:line {number}")


class OfItsProcess(RightReader):
    def read(self):
        for place, row in super().read():
            yield place, {**row, "pid": os.getpid()}


class RightWriter(Writer[PluginConfig]):
    Config = PluginConfig
    mode = "wb"

    def write(self, records, schema):
        count = 0
        with self.path.open(self.mode) as file:
            for count, record in enumerate(records, 1):
                file.write(self.encode(record, schema))
        return count

    def encode(self, record, schema):
        return json.dumps(dict(record)).encode() + b"\n"


class Drops(RightWriter):
    def encode(self, record, schema):
        return json.dumps({**record, "count": None}).encode() + b"\n"


class BreaksLines(RightWriter):
    def encode(self, record, schema):
        return json.dumps({**record, "text": str(record["text"]).replace("\r", "")}).encode() + b"\n"


class NeedsUtf8(RightWriter):
    def encode(self, record, schema):
        return json.dumps(dict(record), ensure_ascii=False).encode() + b"\n"


class NeedsAll(RightWriter):
    def encode(self, record, schema):
        return json.dumps({name: record[name] for name in schema}).encode() + b"\n"


class CountsWrong(RightWriter):
    def write(self, records, schema):
        return super().write(records, schema) + 1


class CollectsAll(RightWriter):
    def write(self, records, schema):
        return super().write(list(records), schema)


class WritesANumber(RightWriter):
    def encode(self, record, schema):
        return b" " * next(NUMBERS) + super().encode(record, schema)


class Appends(RightWriter):
    mode = "ab"


class LeavesFiles(RightWriter):
    def write(self, records, schema):
        self.path.with_suffix(".lock").write_bytes(b"")
        return super().write(records, schema)


class SwallowsErrors(RightWriter):
    def write(self, records, schema):
        try:
            return super().write(records, schema)
        except Exception:
            return 0


class ChangesRecords(RightWriter):
    def encode(self, record, schema):
        record["text"] = f"'{record['text']}"
        return super().encode(record, schema)


class PrintsRows(RightReader):
    def read(self):
        print("reading")  # noqa: T201
        yield from super().read()


class PrintsRecords(RightWriter):
    def write(self, records, schema):
        print("writing")  # noqa: T201
        return super().write(records, schema)
