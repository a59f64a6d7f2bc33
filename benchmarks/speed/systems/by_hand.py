"""What the programs by hand share: the rows, and the merged file, which is synced every 1,000 rows and at the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

__all__ = ["Merger", "read_rows"]


def read_rows() -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in Path("rows.jsonl").read_bytes().splitlines()]


class Merger:
    """A row is appended when its last answer is there; those that are not complete are kept in memory."""

    def __init__(self, models: int) -> None:
        self.file = Path("output.jsonl").open("wb", buffering=0)  # noqa: SIM115  # closed by `close`
        self.models = models
        self.partial: dict[int, dict[str, Any]] = {}
        self.complete: list[bytes] = []

    def add(self, number: int, row: dict[str, Any], model: str, text: str) -> None:
        merged = self.partial.get(number)
        if merged is None:
            merged = self.partial[number] = dict(row)
        merged[model] = text
        if len(merged) == len(row) + self.models:
            del self.partial[number]
            self.complete.append(orjson.dumps(merged))
            if len(self.complete) >= 1000:  # noqa: PLR2004
                self.flush()

    def flush(self) -> None:
        self.file.write(b"\n".join([*self.complete, b""]))
        os.fdatasync(self.file.fileno())
        self.complete.clear()

    def close(self) -> None:
        if self.complete:
            self.flush()
        self.file.close()
