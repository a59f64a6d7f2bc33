"""A command that is run and measured with all processes that it starts, whoever they are adopted by.

This module is also the program that does it, so that what the command costs is told apart from what the benchmark
does itself: ``python process.py LIMIT FOLDER COMMAND...`` runs the command in the folder and prints a line of JSON. On
Linux it adopts the orphans of the command (Ray leaves some) and adds up the memory of all its processes.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measured", "measure"]

#: How often memory is looked at, in seconds, and how long orphans have to end by themselves.
INTERVAL = 0.2
GRACE = 60.0
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Measured:
    """A command that has ended. Times are in seconds, ``started`` is of the system's monotonic clock."""

    code: int
    started: float
    wall: float
    #: Of the processor, by the command and all processes that it started.
    cpu: float
    #: Most memory that it held at once, in bytes: of several processes the sum of their proportional shares.
    memory: int
    processes: int
    #: The end of what it printed.
    output: str


def measure(command: list[str], folder: Path, limit: float, environment: dict[str, str] | None = None) -> Measured:
    """Run ``command`` in ``folder`` for ``limit`` seconds at most; a negative code says that it was killed."""
    with (folder / "printed.txt").open("w+b") as printed:
        done = subprocess.run(
            [sys.executable, __file__, str(limit), str(folder), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=printed,
            check=True,
        )
        size = printed.seek(0, os.SEEK_END)
        printed.seek(max(0, size - 4000))
        output = printed.read().decode(errors="replace")
    return Measured(output=output, **json.loads(done.stdout))


def main(limit: float, folder: str, command: list[str]) -> None:
    """Run the command, see it end with all its processes, and print what it took."""
    adopts = sys.platform == "linux" and not ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.monotonic()
    child = subprocess.Popen(command, cwd=folder, stdout=sys.stderr)
    watch = os.pidfd_open(child.pid) if adopts else -1
    ended, code, memory, processes = 0.0, -signal.SIGKILL, 0, 1
    times: dict[int, float] = {}
    while True:
        while found := _reap():
            if found[0] == child.pid:
                ended, code = time.monotonic(), os.waitstatus_to_exitcode(found[1])
        family = _find_family(os.getpid()) if adopts else []
        processes = max(processes, len(family))
        if len(family) > 1:
            memory = max(memory, sum(map(_read_memory, family)))
            times |= {pid: taken for pid in family if (taken := _read_time(pid))}
        alive = bool(family) or not ended
        if not alive:
            break
        late = time.monotonic() - (ended or started)
        if late > (GRACE if ended else limit):
            for pid in [*family, *([] if ended else [child.pid])]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if watch >= 0 and not ended:
            select.select([watch], [], [], INTERVAL)  # wakes at once when the command ends
        else:
            time.sleep(INTERVAL / 10)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    # who ignores the end of its children, as Ray does, hands their time on to nobody: then what was seen of them counts
    cpu = max(used.ru_utime + used.ru_stime, sum(times.values()))
    found = {"code": code, "started": started, "wall": ended - started, "cpu": cpu}
    print(json.dumps({**found, "memory": max(memory, used.ru_maxrss * unit), "processes": processes}))


def _reap() -> tuple[int, int] | None:
    """A child that has ended and its status, if there is one."""
    with suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            return pid, status
    return None


def _find_family(pid: int) -> list[int]:
    """The processes below ``pid``."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                found += [int(child), *_find_family(int(child))]
    return found


def _read_time(pid: int) -> float:
    """The time of the processor that the process itself has taken, in seconds."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _read_memory(pid: int) -> int:
    """The process's proportional share of the memory that is held, in bytes."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
