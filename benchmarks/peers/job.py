"""What the drivers share: a job comes in on standard input, how its rows ended goes into a file.

A driver runs in the environment of the system that it drives, so it imports that and the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["KEY_NAME", "MODEL", "Job", "Row", "describe_error", "skip"]

#: The environment variable with the key, and the model that every system asks for.
KEY_NAME = "FAULTS_API_KEY"
MODEL = "scripted-model"


@dataclass(frozen=True)
class Row:
    """How a row ended, as the system's own result says."""

    status: Literal["ok", "failed"]
    text: str | None = None
    #: What stands beside the answer and tells that something is the matter.
    mark: str = ""
    error: str = ""


@dataclass(frozen=True)
class Job:
    """What to ask: one call per row."""

    #: Such as ``http://127.0.0.1:40123/v1``.
    url: str
    auth: Literal["bearer", "api-key"]
    #: By number, the prompt of each row.
    prompts: Mapping[int, str]
    result: Path

    @classmethod
    def read(cls) -> Job:
        """The job on standard input."""
        job = json.load(sys.stdin)
        prompts = {int(number): prompt for number, prompt in job["prompts"].items()}
        return cls(job["url"], job["auth"], prompts, Path(job["result"]))

    @property
    def key(self) -> str:
        return os.environ[KEY_NAME]

    @property
    def root(self) -> str:
        """The address without the version of the API, which Azure's clients want."""
        return self.url.removesuffix("/v1")

    def finish(self, rows: Mapping[int, Row], crash: str = "") -> None:
        """Write how the rows ended; ``crash`` is the exception with which the whole run ended."""
        ended = {number: asdict(row) for number, row in rows.items()}
        self.result.write_text(json.dumps({"rows": ended, "crash": crash}), encoding="utf-8")


def describe_error(error: BaseException) -> str:
    """The class and the start of the message."""
    return f"{type(error).__name__}: {str(error)[:300]}"


def skip(job: Job, reason: str) -> None:
    """Say that the system has nothing to which the job applies."""
    job.result.write_text(json.dumps({"skipped": reason}), encoding="utf-8")
