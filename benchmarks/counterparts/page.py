"""The table, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from counterparts.probes import PROBES, Probe, Seen
from counterparts.results import Asked
from counterparts.servers import COUNTERPARTS

__all__ = ["write_cell", "write_page"]

HEAD = """\
<!-- Made by benchmarks/honours.py. Change the code that it reads, then run it again. -->

# What servers honour

Servers that speak OpenAI's API differ in what they make of a request: they heed a parameter, refuse it, or take it and
ignore it, with the same status as if they had heeded it. Each of these servers was asked through the backend
[`openai`](plugin-openai.md), and its answers were looked at.

"""

LEGEND = """
*yes*: the answers show that it was heeded. *ignored*: they show that it was not. *cannot be told*: they are all equal,
whatever is sent. *refused*: the call failed, with this [cause](causes.md). *logged*: the backend has marked the answer
and logged it once, see [below](#what-the-backend-says-of-it).

Models decide, too: the two of llama.cpp served a tiny model with random weights, `transformers serve` one that knows a
few answers by heart, and aimock one answer from a file. `transformers serve` heeds `temperature`, `seed` and the like
where the model's `generation_config.json` has `do_sample: true`, as here; a seed is that of its whole process, so seeds
hold with `limits: {concurrency: 1}` alone.
"""

SAYS = """
## What the backend says of it

| parameter | where it is ignored |
|---|---|
{rows}

A mark stands in the stored answer, as `ignored: [stop]` and `schema: ignored`; the answer's text is kept as it came.
What is logged goes to the standard error of `pool run`. Here it was:

{told}

`n` is never sent, since many servers ignore it: each sample is a request of its own, with a seed of its own.

## Servers

| server | version | asked | how to get it |
|---|---|---|---|
{servers}

`python benchmarks/honours.py` starts those that are on this machine, asks them and writes this page; what is known of
the others stays. `tox run -e engines` runs a small recipe against each, and skips those that are not there.
"""

_WORDS = {
    "honoured": "yes",
    "ignored": "**ignored**",
    "refused": "refused",
    "answered": "answers",
    "partly": "partly",
    "untold": "cannot be told",
}


def write_page(results: Mapping[str, Asked]) -> str:
    """The page. Servers that were never asked have no column."""
    there = [one for one in COUNTERPARTS if one.name in results]
    lines = [_write_line(["", "sent", *(one.title for one in there)]), _write_line(["---"] * (2 + len(there)))]
    for probe in PROBES:
        cells = [write_cell(results[one.name].seen.get(probe.name)) for one in there]
        lines.append(_write_line([probe.name, probe.sent, *cells]))
    rows = [_write_line([probe.name, probe.here]) for probe in PROBES if probe.here]
    servers = [
        _write_line(
            [one.title, *([results[one.name].version, results[one.name].day] if one in there else ["", ""]), one.get]
        )
        for one in COUNTERPARTS
    ]
    says = SAYS.format(rows="\n".join(rows), told=_write_told(PROBES, results), servers="\n".join(servers))
    return HEAD + "\n".join(lines) + "\n" + LEGEND + says


def write_cell(seen: Seen | None) -> str:
    """What was seen, in few words."""
    if seen is None:
        return "not asked"
    word = _WORDS[seen.verdict]
    joint = " " if seen.verdict == "answered" else ": "
    text = f"{word}{joint}{seen.note}" if seen.note else word
    return f"{text}; logged" if seen.told and seen.verdict != "honoured" else text


def _write_told(probes: Sequence[Probe], results: Mapping[str, Asked]) -> str:
    """What was logged, each line once."""
    found = {}
    for probe in probes:
        for asked in results.values():
            seen = asked.seen.get(probe.name)
            if seen is not None and seen.told and seen.verdict != "honoured":
                found.setdefault(f"- {seen.told}", None)
    return "\n".join(found)


def _write_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
