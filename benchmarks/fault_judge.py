"""The rules by which a fault's run is judged, the same for every system: what was seen goes in, a verdict comes out.

The rules that always hold: the run ends by itself; every row without a fault has its answer; a fault does not end
in an error of the programming language; the key is nowhere but in requests to the server that it is for. What
else is right for a fault stands in its `Expectation`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["LEAST_WAIT", "Expectation", "Seen", "SeenRow", "Verdict", "judge", "make_answer"]

#: Three requests or more for a row within so many seconds have no waits between them: this is what systems without
#: waits need on a busy machine, and far below the 1 s or more of those that wait.
LEAST_WAIT = 0.3
#: A wait that the server names may be cut short by so much, in seconds: clocks and networks are not exact.
SLACK = 0.05

#: Errors of the language, by which a caller cannot tell a bad reply from a bug in his own program.
BARE_ERRORS = frozenset(
    {
        "AssertionError", "AttributeError", "IndexError", "JSONDecodeError", "KeyError", "TypeError",
        "UnicodeDecodeError", "UnicodeEncodeError",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is right for a fault, beyond the rules that always hold."""

    #: Requests for a row that has the fault. ``least`` is 0 where it is right not to ask for every such row.
    least: int
    most: int
    #: How a row with the fault ends; ``any`` where both are right.
    outcome: Literal["failed", "ok", "any"] = "failed"
    #: Seconds that the server asks to wait before the second request.
    wait: float | None = None
    #: Whether the prompt may arrive at another server.
    may_stray: bool = False


@dataclass(frozen=True, slots=True)
class SeenRow:
    """How a row ended, as the system's own result says."""

    status: Literal["ok", "failed"]
    text: str | None = None
    #: What stands beside the answer and tells that something is the matter, such as ``finish_reason: length``.
    mark: str = ""
    #: Name of the exception's class, without its module, and its message.
    error: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one run."""

    #: Seconds after which the run was killed, None where it ended by itself.
    killed_after: float | None
    #: By row, when its requests arrived, in seconds.
    requests: Mapping[int, Sequence[float]]
    #: By row, how it ended. A row that the system does not give back is not there.
    rows: Mapping[int, SeenRow]
    faulty: frozenset[int]
    #: The exception with which the whole run ended, if it did.
    crash: str = ""
    #: Requests that arrived at another server.
    strayed: int = 0
    #: Where the key was found.
    leaks: Sequence[str] = field(default_factory=tuple)
    #: Rows of the run.
    count: int = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """``caller``: it is not wrong, and the caller has to look at a mark to see the fault."""

    kind: Literal["right", "caller", "wrong"]
    #: Most requests of one row with the fault.
    requests: int
    reasons: tuple[str, ...] = ()


def make_answer(row: int) -> str:
    """The answer to a row without a fault."""
    return f"echo of row-{row:02}"


def judge(expected: Expectation, seen: Seen) -> Verdict:
    """Hold what was seen against what is right."""
    wrong = [
        *_judge_end(seen),
        *_judge_requests(expected, seen),
        *_judge_good_rows(seen),
        *_judge_secrecy(expected, seen),
    ]
    marks = []
    if seen.killed_after is None:
        failures, marks = _judge_faulty_rows(expected, seen)
        wrong += failures
    requests = max((len(seen.requests.get(row, ())) for row in seen.faulty), default=0)
    if wrong:
        return Verdict("wrong", requests, tuple(dict.fromkeys(wrong)))
    return Verdict("caller" if marks else "right", requests, tuple(dict.fromkeys(marks)))


def _judge_end(seen: Seen) -> list[str]:
    return [] if seen.killed_after is None else [f"does not end within {seen.killed_after:.0f} s"]


def _judge_requests(expected: Expectation, seen: Seen) -> list[str]:
    counts = [len(seen.requests.get(row, ())) for row in sorted(seen.faulty)]
    if not any(counts):
        return ["no request arrives"]
    wrong = []
    if max(counts) > expected.most:
        wrong.append(f"more than {_count(expected.most, 'request')} for one row")
    if min(counts) < expected.least:
        wrong.append(f"fewer than {_count(expected.least, 'request')} for one row")
    for row in sorted(seen.faulty):
        times = seen.requests.get(row, ())
        if len(times) > 2 and times[-1] - times[0] < LEAST_WAIT:  # noqa: PLR2004
            wrong.append("asks again without a wait")
        if len(times) > 1 and expected.wait is not None and times[1] - times[0] < expected.wait - SLACK:
            wrong.append(f"asks again after {times[1] - times[0]:.1f} s, not after {expected.wait:g} s")
    return wrong


def _judge_good_rows(seen: Seen) -> list[str]:
    good = [row for row in range(seen.count) if row not in seen.faulty]
    if seen.killed_after is not None or not good:
        return []
    lost = [row for row in good if not _is_good(seen.rows.get(row), row)]
    if not lost:
        return []
    why = f" ({_shorten(seen.crash, 60)})" if seen.crash else ""
    return [f"{len(lost)} of {len(good)} good rows are lost{why}"]


def _is_good(row: SeenRow | None, number: int) -> bool:
    return row is not None and row.status == "ok" and row.text == make_answer(number)


def _judge_secrecy(expected: Expectation, seen: Seen) -> list[str]:
    strayed = ["the prompt goes to another server"] if seen.strayed and not expected.may_stray else []
    return strayed + [f"the key is in {place}" for place in seen.leaks]


def _judge_faulty_rows(expected: Expectation, seen: Seen) -> tuple[list[str], list[str]]:
    """What is wrong with how rows with the fault end, and what the caller has to look at."""
    wrong, marks = [], []
    for number in sorted(seen.faulty):
        row = seen.rows.get(number)
        if row is None or row.status == "failed":
            error = row.error if row is not None else seen.crash
            if expected.outcome == "ok":
                wrong.append(f"no answer in the end ({_shorten(error, 60) or 'the row is gone'})")
            elif (name := _read_name(error)) in BARE_ERRORS:
                wrong.append(f"ends in a bare {name}")
        elif expected.outcome == "failed":
            if row.mark:
                marks.append(f"handed on with {row.mark}")
            elif row.text is None:
                marks.append("handed on as None")
            else:
                wrong.append(f"{_shorten(row.text, 20)!r} is taken for an answer")
        elif expected.outcome == "ok" and not _is_good(row, number):
            wrong.append(f"{_shorten(row.text or '', 20)!r} is taken for the answer")
    return wrong, marks


def _read_name(error: str) -> str:
    """The class of ``TypeError: text`` and of ``TypeError('text')``."""
    found = re.match(r"\w+", error)
    return found[0] if found else ""


def _shorten(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
