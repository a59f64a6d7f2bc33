"""Starting a server on a free port of this machine, until it answers; and ending it."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from counterparts.servers import Counterpart

__all__ = ["NotStartedError", "Running", "read_version", "start"]

#: Seconds in which a server has to answer. Those that load torch take most of a minute on a busy machine.
START_LIMIT = 180.0
#: Seconds in which it has to end when it is told to; then it is killed.
STOP_LIMIT = 20.0
#: How often another port is tried: somebody may name the same one between its choice and its use.
TRIES = 3

#: It fetches nothing, tells nobody, and leaves the processor to others.
_QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONUTF8": "1",
}


class NotStartedError(Exception):
    """The server did not come to answer; the message ends with what it said last."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    counterpart: Counterpart
    #: What clients take as their base URL.
    url: str
    #: The model that it serves, by its own name.
    model: str


@contextmanager
def start(counterpart: Counterpart, model: Path, folder: Path) -> Iterator[Running]:
    """Serve ``model``, until the block ends. Output and caches go to ``folder``.

    Raises:
        NotStartedError: it is not on this machine, or did not come to answer.
    """
    command = counterpart.find()
    if command is None:
        raise NotStartedError(f"{counterpart.name} is not here: {counterpart.get}")
    (folder / "hub").mkdir(parents=True, exist_ok=True)  # without it, transformers cannot list its models
    output = folder / "output.txt"
    for _ in range(TRIES):
        port = _find_port()
        process = _start_process([*command, *counterpart.write_arguments(model, port)], folder, output)
        try:
            root = f"http://127.0.0.1:{port}"
            if _wait_until_ready(process, f"{root}{counterpart.ready}"):
                yield Running(counterpart, f"{root}/v1", _read_model(root))
                return
        finally:
            _end_process(process)
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise NotStartedError(f"{counterpart.name} did not start: {' | '.join(lines[-3:]) or 'no output'}")


def _find_port() -> int:
    """A free port below those that a system gives to whoever asks for any: nobody gets it before the server has it."""
    while True:
        port = random.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _start_process(command: Sequence[str], folder: Path, output: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_HOME": str(folder)} | _QUIET
    with output.open("wb") as stream:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> bool:
    """Whether it answers; False where it has ended before."""
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until:
        if process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(address, timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):  # not yet
            time.sleep(0.05)
    return False


def _read_model(root: str) -> str:
    """The first model that it lists."""
    with urllib.request.urlopen(f"{root}/v1/models", timeout=60) as reply:
        return str(json.load(reply)["data"][0]["id"])


def _end_process(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_version(counterpart: Counterpart) -> str:
    """Its version, as it says itself; empty where it does not."""
    command = counterpart.find()
    if command is None:
        return ""
    match counterpart.name:
        case "llama-server":
            asked = [*command, "--version"]
        case "aimock":
            package = Path(os.path.realpath(command[0])).parents[1] / "package.json"
            return str(json.loads(package.read_text(encoding="utf-8"))["version"])
        case "transformers":
            asked = [command[0], "version"]
        case _:
            asked = [command[0], "-c", "import llama_cpp; print(llama_cpp.__version__)"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r"\d+(\.\d+)+( \(build [^)]*\))?", done.stdout + done.stderr)
    return found[0] if found else ""
