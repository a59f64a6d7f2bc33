"""Measurements, one a line in a file that is only appended to, so that a run can be stopped and gone on with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

__all__ = ["FOLDER", "Key", "Measurement", "Summary", "append", "read", "summarize"]

FOLDER = Path(__file__).parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Key:
    """What is measured, and the how manieth time."""

    program: str
    case: str
    system: str
    repetition: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured once. A measurement without figures says in ``trouble`` why."""

    key: Key
    figures: dict[str, float]
    trouble: str = ""
    version: str = ""
    day: str = ""
    #: Processes that wanted a core when it began: above the number of cores, times are not to be trusted.
    load: float = 0.0
    cores: int = 0
    memory: int = 0
    python: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The repetitions of one case of one system."""

    #: By name, the median, the least and the most.
    figures: dict[str, tuple[float, float, float]]
    repetitions: int
    trouble: str
    last: Measurement


def append(path: Path, measurement: Measurement) -> Measurement:
    """Add a line, with the machine as it is; gives what stands there now."""
    one = replace(
        measurement,
        day=str(datetime.now(UTC).date()),
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _end_line(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(one)) + "\n")
    return one


def _end_line(path: Path) -> None:
    """Take out what a run that was stopped began to write."""
    if path.exists() and (whole := path.read_bytes()) and not whole.endswith(b"\n"):
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])


def read(path: Path) -> dict[Key, Measurement]:
    """All measurements; of one that was made twice, the last. A line that breaks off was never measured."""
    found: dict[Key, Measurement] = {}
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            one = json.loads(line)
            key = Key(**one.pop("key"))
            found[key] = Measurement(key, **one)
    return found


def summarize(found: Mapping[Key, Measurement], program: str) -> dict[tuple[str, str], Summary]:
    """By case and system, in the order in which they were first measured."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for key, one in found.items():
        if key.program == program:
            groups.setdefault((key.case, key.system), []).append(one)
    return {name: _summarize(group) for name, group in groups.items()}


def _summarize(group: Iterable[Measurement]) -> Summary:
    ordered = list(group)
    good = [one for one in ordered if one.figures]
    names = dict.fromkeys(name for one in good for name in one.figures)
    figures = {}
    for name in names:
        values = [one.figures[name] for one in good if name in one.figures]
        figures[name] = (median(values), min(values), max(values))
    trouble = next((one.trouble for one in reversed(ordered) if one.trouble), "")
    return Summary(figures, len(good), trouble, ordered[-1])
