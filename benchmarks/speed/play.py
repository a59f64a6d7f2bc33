"""The server as a process, for programs that measure."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speed.schedule import Load

__all__ = ["Seen", "Server", "run_server"]

_SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server counted for one model; times are of the system's monotonic clock."""

    requests: int
    limited: int
    most_inflight: int
    first: float
    last: float
    #: Different rows that were asked for.
    rows: int

    @property
    def span(self) -> float:
        """Seconds from the first request to the last reply."""
        return self.last - self.first


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    url: str

    def play(self, load: Load) -> None:
        """Answer as ``load`` says from now on, and count anew."""
        self._ask("/config", {"models": {name: asdict(one) for name, one in load.models.items()}, "seed": load.seed})

    def read(self) -> dict[str, Seen]:
        """What was counted, by model."""
        return {name: Seen(**one) for name, one in self._ask("/stats")["models"].items()}

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        with ask(urllib.request.Request(self.url.removesuffix("/v1") + path, data), timeout=60) as reply:
            return json.load(reply)


@contextmanager
def run_server() -> Iterator[Server]:
    """The server in a process of its own."""
    process = subprocess.Popen([sys.executable, _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
    finally:
        process.stdin.close()  # it ends with its input
        process.wait(timeout=60)
        process.stdout.close()
