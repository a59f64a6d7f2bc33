"""Every row of the catalogue, run by the program against a real server: requests, outcome, message."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from pool_core.testing.distributions import write_distribution
from pool_core.testing.faults import FAULTS
from pool_core.testing.server import ScriptedServer
from pool_core.watchdog import watchdog as watchdog_module

pytestmark = pytest.mark.plugins("standard", "openai")

CATALOGUE = yaml.safe_load(Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8"))
EACH = [(case, fault) for case in CATALOGUE for fault in case.get("fault", [""])]
#: The rows that a run cannot show yet, and those of what is on the disk, which has tests of its own.
NOT_HERE = set(range(51, 58))
HUGE = 10_000_000
PATIENCE = 300.0


@dataclass
class Stage:
    """What a case runs on. A scene changes it before the run."""

    case: dict[str, Any]
    server: ScriptedServer
    firing: Any
    tmp_path: Path
    monkeypatch: Any
    pool: Any
    process: Any
    wait_until: Any
    write_recipe: Any
    stack: ExitStack
    url: str = ""
    #: Runs the recipe; returns the exit code, standard output and standard error.
    run: Callable[[Path], tuple[int, str, str]] = field(init=False)
    #: Looks at what is left of the scene when the run has ended.
    check: Callable[[], None] = lambda: None

    def __post_init__(self):
        self.run = lambda recipe: self.pool("run", recipe, "--json")

    def install(self, name, source, *, version="v1", package=None):
        """Install the plugin ``name`` for this test."""
        module = f"pool_{package or name}_of_faults".replace("-", "_")
        write_distribution(
            self.tmp_path / "site",
            name=f"pool-{package or name}",
            entry_points={f"pool_core.plugins.{version}": {name: module}},
            modules={module: source},
        )
        self.monkeypatch.syspath_prepend(str(self.tmp_path / "site"))


@pytest.mark.parametrize(
    ("case", "fault"),
    EACH,
    ids=[f"{case['number']}-{case['name'].replace(' ', '-')}{f'-{fault}' if fault else ''}" for case, fault in EACH],
)
def test_a_fault_of_the_catalogue(
    case,
    fault,
    make_firing,
    write_recipe,
    pool,
    process,
    wait_until,
    read_run,
    monkeypatch,
    tmp_path,
    caplog,
    skip_time,
    watchdog_clock,
):
    firing = make_firing(case, fault)
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(firing))
        if fault and (FAULTS[fault].slow or "skip" in case):
            firing.each = skip_time(server, case.get("skip", 121.0))
        stage = Stage(
            case, server, firing, tmp_path, monkeypatch, pool, process, wait_until, write_recipe, stack, server.url
        )
        if "scene" in case:
            SCENES[case["scene"]](stage)
        code, out, err = stage.run(write_recipe(stage.url, stage.case))
        stage.check()
    said = "\n".join([out, err, caplog.text])
    assert code == case.get("exit", 0), said
    check_requests(case, server, firing, fault)
    check_cells(case, read_run())
    assert case.get("said", "") in said
    if "stopped" in case:
        assert case["stopped"] in json.loads(out)["members"][0]["stopped"]
    if "number" in case and case.get("exit", 0) in (0, 3) and out.startswith("{"):
        lost = json.loads(out)["members"][0]["requests"] - len(of_member(server))
        assert 0 <= lost <= case.get("lost", 0) or case["requests"] == 0


def of_member(server):
    return [request for request in server.requests if request.body["model"] == "m"]


def check_requests(case, server, firing, fault):
    """The fault was really fired, as often as the server was asked to; and nothing more was asked than expected."""
    asked = of_member(server)
    if fault:
        assert server.fired == firing.served
        assert server.fired[fault] > 0
    if "requests" in case:
        low, high = case["requests"] if isinstance(case["requests"], list) else [case["requests"]] * 2
        assert low <= len(asked) <= high
    if "gap" in case:
        times = [request.received_at for request in asked]
        rows = [request.body["messages"][-1]["content"] for request in asked]
        waited = [later - sooner for row, (sooner, later) in zip(rows, pairwise(times), strict=False) if "r2" in row]
        assert waited[0] >= case["gap"]


def check_cells(case, rows):
    mine = [one for generations in rows.values() for one in generations if one["member"] == "m"]
    others = [one for generations in rows.values() for one in generations if one["member"] != "m"]
    assert all(one["status"] == "ok" for one in others)
    if case.get("exit", 0) not in (2, 4) and ("cells" in case or case.get("exit", 0) == 0):
        became = [one["cause"] or ("-" if one["status"] == "pending" else one["status"]) for one in mine]
        assert " ".join(became) == case.get("cells", " ".join("ok" for _ in mine))
    if "message" in case:
        failed = [one["message"] for one in mine if one["status"] == "failed"]
        assert failed
        assert [message for message in failed if case["message"] not in message] == []
    (given,) = rows.get("r2", [None])[:1]
    if "text" in case:
        assert given["generation"] == case["text"]
    if "usage" in case:
        assert given["usage"] == case["usage"]


def test_every_row_of_the_catalogue_is_here():
    """Rows 1 to 66; those of the disk have tests of their own."""
    assert {case["number"] for case in CATALOGUE} == set(range(1, 67)) - NOT_HERE


# --- scenes


def rotate_key(stage):
    """The key is another one from the moment on in which the old one is refused."""
    new = os.environ["CANARY"] + "-new"
    stage.firing.then = lambda: os.environ.update(CANARY=new)

    def check():
        keys = [request.headers["authorization"].endswith("-new") for request in stage.server.requests]
        assert keys == [False, False, True, True]

    stage.check = check


def ask_no_host(stage):
    stage.url = "http://model.invalid/v1"


def ask_nobody(stage):
    with socket.create_server(("127.0.0.1", 0)) as free:
        stage.url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def ask_with_a_proxy(stage):
    """The environment names a proxy; what goes to this machine must not go there."""
    proxy = stage.stack.enter_context(ScriptedServer())
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        stage.monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))

    def check():
        assert proxy.requests == []

    stage.check = check


def jump_clock(stage):
    """The wall clock jumps ahead by days while the run waits; and back again where it is read twice."""
    real = time.time
    jumps = iter((1e6, -1e6) * 10_000)
    stage.firing.then = lambda: stage.monkeypatch.setattr("time.time", lambda: real() + next(jumps))


def ask_much(stage):
    stage.case = stage.case | {"row": {"r2": {"instruction": "r2 " + "x" * HUGE}}}

    def check():
        assert len(stage.server.requests[1].raw) > HUGE

    stage.check = check


def ask_a_stranger(stage):
    """The server's certificate is signed by nobody that is known."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    made = stage.tmp_path / "certificate"
    made.mkdir()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=Nobody"
    subprocess.run([*command.split(), "-keyout", made / "key", "-out", made / "pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "pem", made / "key")
    server = stage.stack.enter_context(ScriptedServer(ssl_context=context))
    stage.url = server.url

    def check():
        assert server.requests == []

    stage.check = check


# --- scenes of processes


def hold_answers(stage):
    """A server that answers when it is let, in the place of the one that answers at once."""
    let = threading.Event()

    def make_reply(_request):
        assert let.wait(PATIENCE)

    stage.server._make_reply = make_reply
    return let.set


def interrupt(stage, *signals):
    """The run is a process, and gets the signals while its first request is under way."""
    let = hold_answers(stage)

    def run(recipe):
        process = stage.process("run", recipe, "--json")
        stage.wait_until(lambda: stage.server.requests)
        lines = []
        for number in signals:
            process.send_signal(number)
            lines.append(process.stderr.readline())
        if len(signals) == 1:  # it waits for the answer
            let()
        out, err = process.communicate(timeout=PATIENCE)
        let()
        return process.returncode, out, "".join([*lines, err])

    stage.run = run


def run_twice_at_once(stage):
    """While the run is under way, the same command is given again."""
    let = hold_answers(stage)

    def run(recipe):
        process = stage.process("run", recipe, "--json")
        stage.wait_until(lambda: stage.server.requests)
        code, _, second = stage.pool("run", recipe, "--json")
        assert code == 1
        assert f"process {process.pid}" in second
        let()
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err + second

    stage.run = run


# --- scenes of plugins

BROKEN_TASK = """
import re
from pydantic import BaseModel
from pool_core.api import Contribution, hookimpl
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Prompt
from pool_core.watchdog import watchdog

@hookimpl
def pool_tasks():
    yield Contribution("broken", f"{__name__}:Broken", "Breaks on r2.")

class BrokenConfig(PluginConfig):
    by: str

class BrokenOutput(BaseModel):
    generation: str

class Other(BaseModel):
    pass

def dig():
    return dig()

class Broken(Task[BrokenConfig]):
    Config = BrokenConfig
    Output = BrokenOutput
    inputs = ("instruction",)

    def render(self, row):
        return Prompt.chat(row["instruction"])

    def parse(self, answer, row):
        if "r2" in answer.text:
            if self.config.by == "depth":
                dig()
            if self.config.by == "busy":
                watchdog.monotonic.skip(5)
                return BrokenOutput(generation=answer.text)
            if self.config.by in ("loop", "pattern"):
                watchdog.monotonic.skip()
            while self.config.by == "loop":
                pass
            if self.config.by == "pattern":
                re.match("(a+)+$", "a" * 60 + "b")
            if self.config.by == "another":
                return Other()
            raise {"ValueError": ValueError, "SystemExit": SystemExit, "MemoryError": MemoryError}[self.config.by](
                "on purpose"
            )
        return BrokenOutput(generation=answer.text)
"""
EXITS = "raise SystemExit('on purpose')"
EMPTY = ""
UNKNOWN_HOOK = """
from pool_core.api import hookimpl

@hookimpl
def pool_no_such_hook():
    return []
"""
CHANGES = """
import logging
from pool_core.api import hookimpl

def attempt(change):
    try:
        change()
    except (TypeError, AttributeError):
        pass

@hookimpl
def pool_check_compatibility(plan):
    attempt(lambda: plan.members[0].sampling.update(temperature=2))
    attempt(lambda: setattr(plan.members[0], "name", "mine"))
    attempt(lambda: plan.sample[0].update(instruction="mine"))
    attempt(lambda: plan.schema.clear())
    return []

@hookimpl
def pool_cell_finished(cell):
    attempt(lambda: cell.outcome.outputs.update(generation="mine"))
    attempt(lambda: setattr(cell, "row_id", "mine"))
    logging.warning("has tried to change %s", cell.row_id)
"""
DEAF = """
from pool_core.api import hookimpl

@hookimpl
def pool_cell_finished(cell):
    raise RuntimeError("on purpose")
"""

BLOCKING = """
from pool_core.api import hookimpl
from pool_core.watchdog import watchdog

@hookimpl
def pool_cell_finished(cell):
    watchdog.monotonic.skip()
    while True:
        pass
"""


def install_clash(stage):
    """Two packages, each with a plugin of one name."""
    for package in ("same-one", "same-two"):
        stage.install("same", EMPTY, package=package)


def install_broken_task(stage):
    stage.monkeypatch.setattr(watchdog_module, "SLOW_SECONDS", 0.25)
    stage.install("broken", BROKEN_TASK)


SCENES: dict[str, Callable[[Stage], object]] = {
    "rotate": rotate_key,
    "no-host": ask_no_host,
    "refused": ask_nobody,
    "tls": ask_a_stranger,
    "proxy": ask_with_a_proxy,
    "clock": jump_clock,
    "huge-prompt": ask_much,
    "interrupt": lambda stage: interrupt(stage, signal.SIGINT),
    "terminate": lambda stage: interrupt(stage, signal.SIGTERM),
    "interrupt-twice": lambda stage: interrupt(stage, signal.SIGINT, signal.SIGINT),
    "second-run": run_twice_at_once,
    "broken-task": install_broken_task,
    "plugin-exits": lambda stage: stage.install("exits", EXITS),
    "plugins-clash": install_clash,
    "plugin-of-v2": lambda stage: stage.install("later", EMPTY, version="v2"),
    "plugin-with-unknown-hook": lambda stage: stage.install("odd", UNKNOWN_HOOK),
    "plugin-changes": lambda stage: stage.install("changes", CHANGES),
    "plugin-blocks": lambda stage: stage.install("blocking", BLOCKING),
    "plugin-breaks": lambda stage: stage.install("deaf", DEAF),
}
