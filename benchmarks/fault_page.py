"""The table, as a page of the documentation."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

from fault_cases import ROWS, Fault
from fault_judge import LEAST_WAIT, Verdict
from fault_results import Measured, Outcome
from fault_systems import System

__all__ = ["decide", "write_cell", "write_page"]

HEAD = """\
<!-- Made by benchmarks/faults.py. Change the code that it reads, then run it again. -->

# Faults

What a server can do wrong, and what this system and its peers make of it. Measured on {days} with Python {python} on
{machine}.

{rows} rows are asked of a scripted server on the same machine, one call per row, through each system's own way to do
that; the server counts the requests per row. Where the fault is one row's, row 7 of 20 has it; where it is the
account's, every row. A run is killed after {limit:.0f} s. In brackets stand the most requests that one faulty row cost.

"""

RULES = """
## How it is judged

The same rules hold for all, and stand as data in `benchmarks/fault_cases.py`; `benchmarks/fault_judge.py` applies them.
What is right for a fault is in the table. Always:

- The run ends by itself.
- Every row without a fault has its answer.
- A row is not asked three times or more within {least_wait} s: that is not waiting.
- A fault does not end in a bare `TypeError`, `IndexError`, `JSONDecodeError` or the like, by which a caller cannot tell
  a bad reply from a bug in his own program.
- The key is in requests to the server that it is for, and in no other request, file or line of output.

*to the caller* is neither right nor wrong: the answer is handed on with a mark, and who does not look at it keeps a bad
row. For a client library that can be the intention. A row that a system leaves out counts as failed: it is not taken
for good.

## Systems

| system | version | measured | retries |
|---|---|---|---|
{systems}

Each is driven by a script in `benchmarks/peers/` in the way of its own documentation, with its defaults save for what
the table says. Telemetry is off; the way to other machines leads through a proxy that is not there.{missing}

## Again

`nice python benchmarks/faults.py` installs each peer in an environment of its own, in `~/.cache/pool-core/faults` or
`--cache DIR`, runs everything one after the other and writes this page; it takes about half an hour. `--systems pool`
and `--faults 500,quota` do less and print only; `--systems pool --reuse` measures this system again and takes the peers
from the cache, with the day on which they were measured. What each run printed and wrote stays there too.
"""


def decide(outcome: Outcome) -> str:
    """``right`` where all cases are, ``wrong`` where one is; ``skipped`` where there are none."""
    kinds = {verdict.kind for verdict in outcome.values() if isinstance(verdict, Verdict)}
    return next((kind for kind in ("wrong", "caller", "right") if kind in kinds), "skipped")


def write_page(faults: Sequence[Fault], measured: Mapping[System, Measured], limit: float) -> str:
    """The page; ``limit`` is the time limit of each run in seconds."""
    days = " and ".join(sorted({one.day for one in measured.values()}))
    machine = f"{platform.system()} {platform.machine()}"
    head = HEAD.format(days=days, python=platform.python_version(), machine=machine, rows=ROWS, limit=limit)
    there = {system: one.outcomes for system, one in measured.items() if one.outcomes}
    lines = [
        _write_line(["fault", "right", *(system.title for system in there)]),
        _write_line(["---"] * (2 + len(there))),
    ]
    for fault in faults:
        cells = [write_cell(outcomes[fault.name]) for outcomes in there.values()]
        lines.append(_write_line([fault.title, fault.right, *cells]))
    counts = [sum(decide(outcomes[fault.name]) == "right" for fault in faults) for outcomes in there.values()]
    lines.append(_write_line([f"**right of {len(faults)}**", "", *(f"**{count}**" for count in counts)]))
    table = [_write_line([system.title, one.version, one.day, system.setting]) for system, one in measured.items()]
    gone = [f" {system.title} was not measured." for system in measured if system not in there]
    rules = RULES.format(least_wait=LEAST_WAIT, systems="\n".join(table), missing="".join(gone))
    return head + "\n".join(lines) + "\n" + rules


def _write_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def write_cell(outcome: Outcome) -> str:
    """All cases in one cell, those that ended alike together."""
    texts: dict[str, list[str]] = {}
    for name, verdict in outcome.items():
        texts.setdefault(verdict if isinstance(verdict, str) else _write_verdict(verdict), []).append(name)
    if len(texts) == 1:
        return next(iter(texts))
    return "<br>".join(f"{', '.join(names)}: {text}" for text, names in texts.items())


def _write_verdict(verdict: Verdict) -> str:
    word = {"right": "right", "caller": "*to the caller*", "wrong": "**wrong**"}[verdict.kind]
    return f"{word} ({verdict.requests}){': ' if verdict.reasons else ''}{'; '.join(verdict.reasons)}"
