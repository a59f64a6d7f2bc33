"""The conformance classes of the backends, which ``python -m pool_core.testing replay`` runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pool_core.interfaces.values import Cause, Prompt
from pool_core.testing import BackendConformance, Failure, Supports

__all__ = ["TestRecord", "TestReplay", "TestSimulate"]

_TEXTS: Final = {"Name a colour.": "Blue, or green, I think.", "Name an animal.": "An otter."}
_SCHEMA_ANSWER: Final = '{"colour": "blue"}'


def _write_recording(path: Path, schema: object = None) -> None:
    """Answers to two prompts; to the first one also with a seed, a stop string and a schema."""
    first, second = _TEXTS
    usage = {"input_tokens": 3, "output_tokens": 5}
    answers: list[tuple[str, dict[str, Any], object, str]] = [
        (first, {}, None, _TEXTS[first]),
        (second, {}, None, _TEXTS[second]),
        (first, {"stop": ["green,"]}, None, "Blue, or"),
        (first, {}, schema, _SCHEMA_ANSWER),
    ]
    lines = [
        {
            "model": "m",
            "prompt": [{"role": "user", "content": prompt}],
            "sample": 0,
            "answer": {"text": text, "finish_reason": "stop", "usage": usage},
            **({"sampling": sampling} if sampling else {}),
            **({"schema": asked} if asked else {}),
        }
        for prompt, sampling, asked, text in answers
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


class TestReplay(BackendConformance):
    use = "replay/replay"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    config = {"model": "m", "path": "recording.jsonl"}  # noqa: RUF012 - declared as one of the class
    slow = {"latency": 60.0}  # noqa: RUF012 - as above
    failures = (
        Failure({}, Cause.BAD_REQUEST, Prompt.chat("Never asked.")),
        Failure({"model": "other"}, Cause.BAD_REQUEST, stops_member=True),
        Failure({"path": "missing.jsonl"}, Cause.BAD_REQUEST),
    )

    def prepare(self, folder: Path) -> None:
        _write_recording(folder / "recording.jsonl", self.schema)


class TestRecord(BackendConformance):
    use = "replay/record"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    config = {"path": "new.jsonl", "backend": {"use": "simulate"}}  # noqa: RUF012 - as above
    slow = {"backend": {"use": "simulate", "latency": 60.0}}  # noqa: RUF012 - as above
    failures = (
        Failure({"backend": {"use": "simulate", "fail": 1.0}}, Cause.SERVER),
        Failure({"path": "no-folder/new.jsonl"}, Cause.BAD_REQUEST),
    )


class TestSimulate(BackendConformance):
    use = "replay/simulate"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    slow = {"latency": 60.0}  # noqa: RUF012 - as above
    failures = (
        Failure({"fail": 1.0}, Cause.SERVER),
        Failure({"rate_limit": 1.0}, Cause.RATE_LIMIT),
        Failure({"transport": 1.0}, Cause.TRANSPORT),
    )
