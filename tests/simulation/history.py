"""What happened in a world: every call as the backend saw it, and how the run stood after each start.

The engine fills nothing of this in. Whoever judges a world looks at this alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worlds import World

__all__ = ["Call", "History", "Recorder", "StartRecord", "StoredAnswer", "StoredCell", "read_file"]


@dataclass(slots=True)
class Call:
    """One call of a backend."""

    #: Its place among all moments of the world, and that of its end; 0 while it has none.
    sent: int
    sent_at: float
    start: int
    member: str
    quota: str
    #: The row's text, the sample, and the body that was sent.
    text: str
    sample: int
    body: bytes
    ended: int = 0
    ended_at: float = 0.0
    #: "answered", "failed", "broke" (not as a backend may), "cancelled".
    end: str = ""
    #: Of a failed call.
    cause: str = ""
    retry_after: float | None = None
    stops_member: bool = False
    maybe_billed: bool = False
    #: Kind of fault that the world had for it; "good" for an answer without.
    kind: str = ""
    #: Tokens that the answer says, prompt and answer; None where it says none that can be true.
    usage: tuple[int | None, int | None] = (None, None)
    #: Seconds of pause that the answer named.
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredCell:
    """A cell of the file."""

    row: str
    member: str
    sample: int
    status: str
    cause: str
    message: str
    #: Key of its answer.
    answer: int | None
    attempts: int
    #: The member that answered: its own, or a fallback.
    answered_by: str
    outputs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer of the file."""

    #: `Call.sent` of the call that brought it.
    call: int
    member: str
    tokens: tuple[int | None, int | None]


@dataclass(slots=True)
class StartRecord:
    """A start of the run, and how things stood after it."""

    began: int
    began_at: float
    ended: int = 0
    ended_at: float = 0.0
    #: When it was stopped, by moment and time; 0 where it was not.
    stopped: int = 0
    stopped_at: float = 0.0
    stopped_again_at: float | None = None
    #: How it ended where it did not end well.
    crash: str = ""
    #: Which limit of the recipe stopped it.
    limit: str = ""
    #: What the report of a whole job calls it.
    status: str = ""
    notes: tuple[str, ...] = ()
    #: By member, what the report says.
    progress: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Callbacks of the event loop.
    callbacks: int = 0
    #: By row id (the number of the row), member and sample.
    cells: dict[tuple[str, str, int], StoredCell] = field(default_factory=dict)
    #: By row id, how many samples each member gives, in their order.
    assigned: dict[str, bytes] = field(default_factory=dict)
    answers: dict[int, StoredAnswer] = field(default_factory=dict)


@dataclass(slots=True)
class History:
    """A world and what happened in it."""

    world: World
    calls: list[Call] = field(default_factory=list)
    starts: list[StartRecord] = field(default_factory=list)
    #: How often each fault was really there.
    fired: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def make_trace(self) -> list[object]:
        """All that must be the same whenever the world is run again.

        But for the order in which a second stop cancels the calls of one moment: asyncio's task groups keep sets.
        """
        again = [start.stopped_again_at for start in self.starts]
        return [
            *(
                (c.sent, c.sent_at, c.member, c.text, c.sample, c.ended_at, c.end, c.cause)
                + ((c.ended,) if (at := again[c.start]) is None or c.ended_at < at else ())
                for c in self.calls
            ),
            *((s.ended, s.ended_at, s.limit, sorted(s.cells.items()), s.progress) for s in self.starts),
        ]


class Recorder:
    """Writes a history down while it happens."""

    def __init__(self, world: World) -> None:
        self.history = History(world)
        #: Answers so far, in all starts, by what was asked.
        self.told: Counter[object] = Counter()
        self._moments = 0

    def take_moment(self) -> int:
        """The number of this moment: what happens later has a higher one."""
        self._moments += 1
        return self._moments


def read_file(folder: Path, record: StartRecord) -> None:
    """Note what the file of the run holds, read as any program could."""
    file = sqlite3.connect(folder / "run.sqlite")
    try:
        members = dict(file.execute("SELECT key, name FROM members"))
        rows = {}
        for key, row, assigned in file.execute("SELECT key, row_id, assigned FROM rows"):
            rows[key] = row
            record.assigned[row] = assigned
        for key, call, member, *tokens in file.execute(
            "SELECT key, json_extract(body, '$.model'), member, input_tokens, output_tokens FROM answers"
        ):
            record.answers[key] = StoredAnswer(int(call), members[member], (tokens[0], tokens[1]))
        for key, status, cause, message, answer, attempts, by, outputs in file.execute(
            "SELECT key, status, cause, message, answer, attempts, answered_by, outputs FROM cells"
        ):
            row, member = rows.get(key >> 24, f"? {key >> 24}"), members[key >> 8 & 0xFFFF]
            place = (row, member, key & 0xFF)
            answered_by = member if by is None else members[by]
            values = None if outputs is None else json.loads(outputs)
            cell = StoredCell(row, member, key & 0xFF, status, cause, message, answer, attempts, answered_by, values)
            record.cells[place] = cell
    finally:
        file.close()
