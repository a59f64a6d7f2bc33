"""One fault of one system, in a process of its own with a time limit, and what was seen of it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from fault_cases import FAULTY, ROWS, Case
from fault_judge import Seen, SeenRow, make_answer
from fault_systems import System

from pool_core.testing.server import ReceivedRequest, Reply, ScriptedServer, make_chat_body

__all__ = ["NoVerdictError", "run_case"]

PEERS = Path(__file__).parent / "peers"
_ROW = re.compile(rb"row-(\d\d)")

#: The way to everything but this machine leads through a proxy that is not there, for all clients that heed these
#: variables; telemetry is off.
ISOLATION = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NEMO_TELEMETRY_ENABLED": "false",
    "TELEMETRY_ENABLED": "false",
}


class NoVerdictError(Exception):
    """The system has nothing to which the case applies, or its driver broke; the message says which."""


class _Scripted:
    """The server's side of a case: which reply each request gets, and which row it is of."""

    def __init__(self, case: Case, other: str) -> None:
        self.faulty = frozenset(range(ROWS) if case.rows == "every" else (FAULTY,))
        self.arrivals: defaultdict[int, list[float]] = defaultdict(list)
        self._case = case
        self._other = other

    def __call__(self, request: ReceivedRequest) -> Reply | None:
        if request.method != "POST" or not (found := _ROW.search(request.raw)):
            return Reply(body=make_chat_body("ready")) if request.method == "POST" else None
        row = int(found[1])
        times = self.arrivals[row]
        times.append(request.received_at)
        reply = self._case.make_reply(len(times) - 1, self._other) if row in self.faulty else None
        return reply or Reply(body=make_chat_body(make_answer(row)))


def run_case(system: System, python: Path, case: Case, folder: Path, limit: float) -> Seen:
    """Run ``case`` in ``folder``, which is emptied first and keeps the output and the result.

    Raises:
        NoVerdictError: the system has nothing to which the case applies, or its driver ended without a result.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    key = f"sk-CANARY-{secrets.token_hex(16)}"
    with ScriptedServer(lambda _: Reply(body=make_chat_body("from another server"))) as other:
        scripted = _Scripted(case, other.url)
        with ScriptedServer(scripted) as server:
            killed_after = _drive(system, python, _write_job(case, server.url, folder), key, folder, limit)
    result = _read_result(folder, killed_after)
    strayed = [request for request in other.requests if _ROW.search(request.raw)]
    leaks = ["requests to another server"] if any(key in _spell(request) for request in other.requests) else []
    return Seen(
        killed_after,
        {row: tuple(times) for row, times in scripted.arrivals.items()},
        {int(number): SeenRow(**row) for number, row in result["rows"].items()},
        scripted.faulty,
        result["crash"],
        len(strayed),
        (*leaks, *_find_key(key, folder)),
        ROWS,
    )


def _write_job(case: Case, url: str, folder: Path) -> bytes:
    prompts = {number: f"Say hello to row-{number:02}." for number in range(ROWS)}
    result = str(folder / "result.json")
    return json.dumps({"url": url, "auth": case.auth, "prompts": prompts, "result": result}).encode()


def _drive(system: System, python: Path, job: bytes, key: str, folder: Path, limit: float) -> float | None:
    """Run the driver. Returns the limit if it had to be killed, with all processes that it started."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "FAULTS_API_KEY": key,
        "PYTHONUTF8": "1",
    } | ISOLATION
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [python, PEERS / system.driver],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.communicate(job, timeout=limit)
        except subprocess.TimeoutExpired:
            return limit
        finally:
            _kill(process)
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read_result(folder: Path, killed_after: float | None) -> dict[str, Any]:
    path = folder / "result.json"
    if not path.exists():
        if killed_after is not None:
            return {"rows": {}, "crash": ""}
        lines = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise NoVerdictError(f"no verdict, its driver broke: {lines[-1][:100] if lines else 'no output'}")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "skipped" in result:
        raise NoVerdictError(result["skipped"])
    return result


def _spell(request: ReceivedRequest) -> str:
    return f"{request.path} {dict(request.headers)} {request.raw!r}"


def _find_key(key: str, folder: Path) -> list[str]:
    """Files that hold the key, as paths in ``folder``."""
    found = [path for path in folder.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    return [f"its file {path.relative_to(folder)}" for path in sorted(found)]
