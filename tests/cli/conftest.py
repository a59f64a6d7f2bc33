"""The command line in this process and in processes of its own, and the recipes that it is given."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import Any

import pytest

from pool_core.cli import main
from pool_core.testing.distributions import write_distribution

#: Backends that answer at once with what they were asked, and tasks that ask what a column says.
FAKE_PLUGIN = """
from pool_core.testing.scripted_plugin import ScriptedPlugin

plugin = ScriptedPlugin()
"""
#: Makes the terminal the process's own, so that a key on it becomes a signal.
ON_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from pool_core.cli.main import run
run()
"""
#: What moves the cursor or sets a colour.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: Seconds to wait for what never takes long on a machine that works.
PATIENCE = 300.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def pool(capsys, monkeypatch, tmp_path):
    """Run the command line in this process, from the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.run([str(argument) for argument in arguments])
        return Done(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def fake_plugin(tmp_path, monkeypatch):
    """Install the plugin ``fake`` for this test: tests that use it alone pass where nothing is installed."""
    folder = tmp_path / "site"
    write_distribution(
        folder,
        name="pool-fake",
        entry_points={"pool_core.plugins.v1": {"fake": "pool_fake_for_cli:plugin"}},
        modules={"pool_fake_for_cli": FAKE_PLUGIN},
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("POOL_PLUGINS", "fake")


@pytest.fixture
def recipe(tmp_path, fake_plugin):
    """A recipe of two members that needs no installed plugin, over three rows."""
    (tmp_path / "rows.json").write_text(json.dumps([{"id": f"r{n}", "text": f"text {n}"} for n in (1, 2, 3)]))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "rows: {path: rows.json, id: id}\n"
        "output: out.json\n"
        "pool:\n"
        "  policies: []\n"
        "  members:\n"
        "    - {name: ann, backend: echo, task: echo}\n"
        "    - name: bob\n"
        "      backend: {use: echo, model: other}\n"
        "      task: echo\n"
    )
    return path


def write_lines(path, *rows):
    """A JSON Lines file; a row that is text already goes in as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path


@pytest.fixture
def make_rows(tmp_path):
    """Write JSON Lines beside the recipe."""
    return lambda *rows, name="rows.jsonl": write_lines(tmp_path / name, *rows)


@pytest.fixture
def make_recipe(tmp_path):
    """Write a recipe of standard tasks: members as names to backends, and three good rows unless there are rows."""

    def make(name="recipe.yaml", *, rows="rows.jsonl", output="out.jsonl", row_id="id", samples=None, **members):
        if rows == "rows.jsonl" and not (tmp_path / rows).exists():
            write_lines(tmp_path / rows, *({"id": f"r{n}", "instruction": f"Say {n}."} for n in (1, 2, 3)))
        members = members or {"ann": {"use": "simulate"}, "bob": {"use": "simulate", "seed": 1}}
        lines = [f"rows: {json.dumps({'path': rows, 'id': row_id})}"]
        lines += [f"output: {json.dumps(output)}"] if output else []
        lines += ["pool:", *([f"  samples: {samples}"] if samples else []), "  members:"]
        for member, backend in members.items():
            limits = backend.pop("limits", {})
            lines += [f"    - name: {member}", f"      backend: {json.dumps(backend)}"]
            lines += [f"      limits: {json.dumps(limits)}"] if limits else []
            lines += ["      task: text-generation"]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


@pytest.fixture
def read_output(tmp_path):
    """The records of a JSON Lines file of the test's folder."""
    return lambda name="out.jsonl": [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]


class Terminal:
    """A process of the command line whose standard streams are a terminal of a certain width."""

    def __init__(self, arguments, *, cwd, columns=100, **environment):
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *map(str, arguments)],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=cwd,
            env=variables | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(side)
        #: All that was written so far, escape codes included.
        self.text = ""

    def read_until(self, wanted):
        """Read until ``wanted`` was written; without the escape codes."""
        deadline = time.monotonic() + PATIENCE
        while wanted not in self.plain:
            assert time.monotonic() < deadline, f"{wanted!r} is not in {self.plain!r}"
            assert self._read(), f"{wanted!r} is not in {self.plain!r}"

    def finish(self):
        """Read to the end. Returns the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def press(self, key):
        os.write(self._main, key)

    @property
    def plain(self):
        return ESCAPES.sub("", self.text).replace("\r\n", "\n")

    def _read(self):
        """Read what there is. Returns whether more may come."""
        readable, _, _ = select.select([self._main], [], [], PATIENCE)
        assert readable, f"nothing more came after {self.plain!r}"
        try:
            data = os.read(self._main, 65536)
        except OSError:  # the last process on the terminal has ended
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._main)


@pytest.fixture
def terminal(tmp_path):
    """Start the command line on a terminal."""
    started = []

    def start(*arguments, **options):
        started.append(Terminal(arguments, cwd=tmp_path, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def process(tmp_path):
    """Start the command line in a process whose streams are pipes."""
    started = []

    def start(*arguments, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        one = subprocess.Popen([sys.executable, "-m", "pool_core", *map(str, arguments)], cwd=tmp_path, **pipes)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()


@pytest.fixture
def wait_until():
    """Wait until a condition holds, which other processes bring about."""

    def wait(condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
