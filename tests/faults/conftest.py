"""What the tests of faults share: a run of the program against a real server that fires them, and the canary key."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import pytest

from pool_core.cli import main
from pool_core.testing.faults import FAULTS
from pool_core.testing.server import Fault

#: The key, with characters that change when it is quoted or encoded.
CANARY = "sk-CANARY-0123456789/abc+def"
PATIENCE = 300.0
#: Seconds for one request: more than any machine takes for those that get a reply.
TIMEOUT = 120.0


def spell(key):
    """The key as it could turn up: plain, in base64, quoted for an address."""
    return (key, base64.b64encode(key.encode()).decode(), quote(key, safe=""), quote(key))


def make_reflecting(fault):
    """``fault`` from a server that repeats the key: in each error, and at the start of a body that cannot be read."""

    def make_reply(request):
        reply = fault.make_reply(request)
        told = " ".join(spell(request.headers.get("authorization", "").removeprefix("Bearer ")))
        if isinstance(reply.body, Mapping) and "error" in reply.body:
            error = reply.body["error"]
            return replace(reply, body=reply.body | {"error": error | {"message": f"{error['message']} {told}"}})
        if fault.name in ("html", "cut-json", "bad-utf8"):
            return replace(reply, body=told.encode() + reply.body)
        if "Location" in reply.headers:
            return replace(reply, headers=reply.headers | {"Location": f"{reply.headers['Location']}?{told[:200]}"})
        return reply

    return replace(fault, make_reply=make_reply)


@dataclass
class Firing:
    """The script of a server: which row's requests get the fault, and how often."""

    fault: Fault | None
    #: A row's id, or ``all``.
    of: str
    #: How often each of these rows gets it, None for always; and how many of its requests pass before.
    times: int | None
    after: int
    #: Called when the fault is fired for the first time.
    then: Any = None
    #: Called each time when the fault is fired.
    each: Any = None
    served: Counter[str] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, request):
        if request.body["model"] != "m" or self.fault is None:
            return None
        row = request.body["messages"][-1]["content"].split()[0]
        if self.of not in ("all", row):
            return None
        number = self._asked[row]
        self._asked[row] += 1
        if number < self.after or (self.times is not None and number >= self.after + self.times):
            return None
        self.served[self.fault.name] += 1
        if self.each is not None:
            self.each()
        if self.then is not None:
            then, self.then = self.then, None
            then()
        return self.fault


@dataclass(frozen=True)
class Done:
    """A run that has ended: what it said, and what it wrote."""

    code: int
    said: str
    summary: Any
    #: By row id, the generations of the row.
    rows: Mapping[str, Any]


@pytest.fixture
def canary(monkeypatch, tmp_path, caplog):
    """The key in the environment. What is left of the test is searched for it: files, output and logs."""
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CANARY", CANARY)
    caplog.set_level("DEBUG")
    said = []
    yield said
    evidence = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    evidence["what was said"] = "\n".join([*said, caplog.text]).encode("utf-8", "backslashreplace")
    leaks = [where for where, content in evidence.items() for one in spell(CANARY) if one.encode() in content]
    assert leaks == []


@pytest.fixture
def reflect():
    """Make a fault one of a server that repeats the key."""
    return make_reflecting


@pytest.fixture
def write_recipe(tmp_path):
    """Write a recipe of one member that asks a server, and its rows."""

    def write(url, case):
        prompts = [f"r{number} is asked." for number in range(1, case.get("rows", 3) + 1)]
        rows = [{"id": prompt.split()[0], "instruction": prompt} for prompt in prompts]
        rows = [row | case.get("row", {}).get(row["id"], {}) for row in rows]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        limits = {"concurrency": 1, "attempts": 3, "timeout": TIMEOUT, "max_wait": 10} | case.get("limits", {})
        backend = {"use": "openai", "model": "m", "base_url": url, "api_key": "env:CANARY"} | case.get("backend", {})
        member = {"name": "m", "backend": backend, "limits": limits, "task": case.get("task", "text-generation")}
        members = [member | case.get("member", {})]
        if case.get("beside"):
            good = {"use": "openai", "model": "good", "base_url": url}
            members += [{"name": "good", "backend": good, "task": "text-generation", "limits": {"concurrency": 1}}]
        pool = {"members": members} | case.get("pool", {})
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps({"rows": {"path": "rows.jsonl", "id": "id"}, "output": "out.jsonl", "pool": pool}))
        return path

    return write


@pytest.fixture
def pool(capsys, monkeypatch, tmp_path, canary):
    """Run the command line in this process. Waits between tries are short, so that nobody waits for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pool_core.engine.retry.BASE_SECONDS", 0.02)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        canary.extend((out, err))
        return ended.value.code, out, err

    return run


@pytest.fixture
def process(tmp_path, canary):
    """Start the command line in a process of its own; ``finish`` waits for it."""
    started = []

    def start(*arguments):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        one = subprocess.Popen([sys.executable, "-m", "pool_core", *map(str, arguments)], cwd=tmp_path, **pipes)
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        canary.extend(one.communicate())


@pytest.fixture
def wait_until():
    """Wait until a condition holds, which another thread or process brings about."""

    def wait(condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return wait


@pytest.fixture
def read_run(tmp_path):
    """What a run has written, by row id."""

    def read():
        path = tmp_path / "out.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return {record["id"]: record["generations"] for record in records}

    return read


@pytest.fixture
def make_firing():
    """Make the script of a server from a case."""

    def make(case, name, then=None):
        times = case.get("times", 1)
        fault = make_reflecting(FAULTS[name]) if name else None
        return Firing(fault, case.get("of", "r2"), None if times == "always" else times, case.get("after", 0), then)

    return make


@pytest.fixture
def skip_time(monkeypatch):
    """Let the clocks of event loops jump ahead, but for that of a server; called when it has a request.

    The call waits by then. So its time is over at once, and that of other calls only where a machine stands still.
    """
    monkeypatch.setitem(sys.modules, "uvloop", None)  # its clock cannot be another one
    loops, skipped = set(), 0.0

    def make(server, seconds):
        def tell(loop):
            if loop is not server._loop:
                loops.add(loop)
                return time.monotonic() + skipped
            return time.monotonic()

        def skip():
            nonlocal skipped
            skipped += seconds
            for loop in loops:
                with suppress(RuntimeError):  # closed
                    loop.call_soon_threadsafe(lambda: None)

        monkeypatch.setattr(asyncio.BaseEventLoop, "time", tell)
        return skip

    return make
