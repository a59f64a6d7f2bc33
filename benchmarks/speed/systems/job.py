"""What the drivers share: the job stands in ``job.json`` beside the rows, the merged rows go to ``output.jsonl``.

A driver runs in the environment of the system that it drives, so it imports that and the standard library alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Job", "read_job", "read_rows", "write_output"]


@dataclass(frozen=True)
class Job:
    """What to ask: every row of every model."""

    #: Such as ``http://127.0.0.1:40123/v1``.
    url: str
    models: list[str]
    rows: int
    #: Most requests in flight of each model.
    inflight: int


def read_job() -> Job:
    return Job(**json.loads(Path("job.json").read_text(encoding="utf-8")))


def read_rows() -> list[dict[str, str]]:
    """The rows: ``id`` and ``instruction``."""
    with Path("rows.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_output(rows: Iterator[dict[str, Any]]) -> None:
    """Write the merged rows of a system that gives them back in memory."""
    with Path("output.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
