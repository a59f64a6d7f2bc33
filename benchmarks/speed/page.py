"""The page about speed: a pure function of the measurements, so that it can be made again from their file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from speed.bars import Figures, judge_bars
from speed.results import Key, Measurement
from speed.systems import SYSTEMS
from speed.tables import (
    write_bars,
    write_export,
    write_makespan,
    write_scale,
    write_startup,
    write_systems,
    write_throughput,
)

__all__ = ["PLOTS", "write_page"]

#: The pictures, drawn by `plots`.
PLOTS = ("speed-cost.svg", "speed-share.svg", "speed-start.svg")

PEERS_NOTE = (
    "Of the peers, Bespoke Curator alone did 20,000 rows: it is the fastest of them with 2,000. A script of a hundred "
    "lines on the openai SDK is faster than any peer, and is none."
)

PAGE = """\
<!-- Made by benchmarks/speed_all.py of benchmarks/results/speed.jsonl. Change these, then run it again. -->

# Speed

What this system costs on top of the bare HTTP calls that it makes, beside programs written by hand and beside its
peers.

{measured}

![CPU per call]({cost})

## The goals

{turns}

{bars}
## What a call costs

Every system does the same: rows from a file, three models on a server on this machine, and one merged file in the end.
It is one process, with those that it starts, from its start to its end, imports included. A request has about 350
bytes, an answer about 1,100; 64 calls may be in flight per model. For pool-core each model has an address of its own on
the one server, since members with one address and key share a limit. CPU is what all processes of the system took, the
server's not. A system whose merged file has not all cells, each beside its own row, has no figures. Medians, with the
least and the most.

The *schedule* is that of a client that costs nothing: calls begin in the order of the rows, each as soon as one of the
64 slots is free. Its time over the time from the first request to the last reply is the share. The latencies are
log-normal and a pure function of model and row, so they are the same for all.

{throughput}
![Share of the schedule]({share})

## Makespan

The same share under other loads. *One slow*: the third of three members takes ten times as long; *the others alone* has
the first two without it. *Retry-After*: a fifth of the rows get a 429 at first that asks to come back in a second,
whatever is in flight; the schedule gives such a row's slot to others meanwhile. This system pauses the whole quota
then, on purpose: [quotas](../design/quotas.md) says why.

{makespan}
## Start

Commands that took turns. `pool check` is that of the example with three members; *first request* is a run of ten rows,
until its first request reaches the server.

{startup}
![Start to first request]({start})

## Scale

Members that simulate models and answer at once (backend `simulate`, 20 words): all of the time is the pool's own. Rates
are without the start, which a run of ten rows measures.

{scale}
## Export

`pool export` of 100,000 rows x 3 members; the processor's time is without the start.

{export}
## Systems

{systems}
The drivers are in `benchmarks/speed/systems/` and say how a system is set and why.

## Again

    nice python benchmarks/speed_all.py --folder DIR

makes a virtual environment for each system in `DIR`, runs everything in turns, and writes this page and its plots. A
system that cannot be installed is said and left out. Each measurement is a line in `benchmarks/results/speed.jsonl`: a
run that was stopped goes on, `--fresh` begins anew, `--redo pool` measures one system anew, and `--page` only writes
the page. `--quick` sees in some minutes that everything works. `throughput.py`, `makespan.py`, `startup.py`, `scale.py`
and `export.py` measure one subject each, into the same file.
"""


def write_page(found: Mapping[Key, Measurement]) -> str:
    """The page."""
    figures, all_of_them = Figures(found), list(found.values())
    cost, share, start = PLOTS
    return PAGE.format(
        measured=fill(_describe_machine(all_of_them), 120),
        bars=write_bars(judge_bars(figures)),
        turns=fill(f"Ratios of medians. {_describe_turns(all_of_them)} {PEERS_NOTE}", 120),
        throughput=write_throughput(figures),
        makespan=write_makespan(figures),
        startup=write_startup(figures),
        scale=write_scale(figures),
        export=write_export(figures),
        systems=write_systems(figures),
        cost=cost,
        share=share,
        start=start,
    )


def _describe_turns(found: Sequence[Measurement]) -> str:
    """Which systems took turns: all, or those of the last day; the figures of others are of another day's machine."""
    days: dict[str, set[str]] = {}
    for one in found:
        days.setdefault(one.key.system, set()).add(one.day)
    last = max(one.day for one in found)
    late = [system for system in days if last not in days[system]]
    if not late:
        return "The systems took turns on one machine."
    titles = {system.name: system.title for system in SYSTEMS}
    names = ", ".join(titles.get(name, name) for name in sorted(late))
    return f"The systems took turns on one machine, but for these, which were measured on an earlier day: {names}."


def _describe_machine(found: Sequence[Measurement]) -> str:
    """When and where it was measured, and what else the machine did, by the load when each measurement began."""
    days = " and ".join(sorted({one.day for one in found}))
    pythons = " and ".join(sorted({one.python for one in found}))
    machines = " and ".join(dict.fromkeys(f"{one.cores} cores and {one.memory / 2**30:.0f} GiB" for one in found))
    loads = [one.load for one in found]
    text = f"Measured on {days} with Python {pythons} on {machines}."
    text += f" When a measurement began, the load was {min(loads):.1f} to {max(loads):.1f}"
    if busy := sum(one.load > one.cores for one in found):
        text += f", in {busy} of {len(found)} above the number of cores: trust CPU and ratios of it before times"
    return text + "."
