"""Reads a page from top to bottom as a person would, doing what it says, in a folder of its own.

- Every line of a ``sh`` block is run; it ends with the code of a comment ``# exit code N`` behind it, or 0.
- ``python`` blocks run one after the other in one process of their own, where warnings are errors.
- A block with a title is written to that file.
- A block that is ``tried by: PATH, NAME`` is read by that test.
- What a page shows is held against what was printed; ``...`` stands for anything.
- ``yaml`` is what a recipe may say, ``toml``, ``json`` and ``jsonl`` can be read.

A page with the comment ``<!-- server: HOST:PORT -->`` talks to a server there. It gets a scripted one on a free port,
which echoes prompts, and its address is put in the place of the other.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

from pages import ROOT, read_blocks

from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.recipe.yaml_source import read_yaml
from pool_core.testing.server import ScriptedServer

__all__ = ["DATA", "GATE", "NOT_RUN", "assert_shows", "check_data", "list_problems", "run_page"]

#: Seconds that one line or block may take: a machine may be busy, and a page must not hang.
_LONGEST = 300
#: What lines of pages may begin with.
_PROGRAMS = ("pool ", "sed ", "head ", "cat ", "python ")
GATE = "gate: "
NOT_RUN = "not run: "
_SHOWS = "shows: "
_PART_OF = "part of: "
_PRINTS = "prints"
#: A test of its own reads the block: which one, and by what name.
_TRIED = "tried by: "
#: Languages of blocks that say something and do nothing.
DATA = ("yaml", "toml", "json", "jsonl")
_EXIT_CODE = re.compile(r"# exit code (\d+)$")
_SERVER = re.compile(r"^<!-- server: (\S+) -->$", re.MULTILINE)


def list_problems(block):
    """Why nobody would run, compare or read the block, or why its comment makes no sense."""
    note, kind = block.note, block.kind
    if note.startswith(NOT_RUN):
        return [] if len(note) > len(NOT_RUN) + 15 else ["it does not say why it is not run"]
    if note.startswith(_TRIED):
        path, _, name = note.removeprefix(_TRIED).partition(", ")
        return [] if name in (ROOT / path).read_text(encoding="utf-8") else [f"{path} does not try it"]
    if note.startswith((_SHOWS, _PART_OF, GATE)) or note == _PRINTS:
        return []
    if block.title or kind in ("python", *DATA):
        return []
    if kind == "sh":
        lines = [line for line in block.text.splitlines() if not line.startswith(_PROGRAMS)]
        return [f"nobody tries this line: {line}" for line in lines]
    return [f"nobody knows what this block is: {kind} {note}"]


def run_page(page, folder):
    """Do what the page says in ``folder``. Returns how many blocks were run or compared."""
    text = (ROOT / page).read_text(encoding="utf-8")
    with ExitStack() as stack:
        named = _SERVER.search(text)
        server = stack.enter_context(ScriptedServer()) if named else None
        address = (named[1], f"127.0.0.1:{server.port}") if named and server else None
        shell = _Shell(folder, address)
        stack.callback(shell.close)
        return sum(shell.take(block) for block in read_blocks(page, text))


class _Shell:
    """What a person has in front of them while reading: a folder, a shell, a Python session."""

    def __init__(self, folder, address):
        self._folder = folder
        self._address = address
        self._python = None
        self._printed = ""

    def take(self, block):
        """Do what one block says. Returns whether anything could have failed."""
        if block.note.startswith((GATE, NOT_RUN, _TRIED)):
            return False
        if block.title:
            self._write(block)
        elif block.note.startswith(_PART_OF):
            _check_part(block, ROOT / block.note.removeprefix(_PART_OF))
        elif block.note.startswith(_SHOWS):
            assert_shows(block.text, self._run(block, block.note.removeprefix(_SHOWS), check=False))
        elif block.note == _PRINTS:
            assert_shows(block.text, self._printed)
        elif block.kind == "sh":
            self._printed = "".join(self._run(block, line) for line in block.text.splitlines())
        elif block.kind == "python":
            self._printed = self._run_python(block)
        if block.kind in DATA and not block.note.startswith(_PART_OF):
            check_data(block)
        return True

    def close(self):
        if self._python is not None:
            self._python.stdin.close()
            self._python.wait(_LONGEST)
            self._python.stdout.close()

    def _write(self, block):
        path = self._folder / block.title
        assert path.resolve().is_relative_to(self._folder.resolve()), block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._place(block.text), encoding="utf-8")

    def _place(self, text):
        """The text with the address of the real server."""
        return text.replace(*self._address) if self._address else text

    def _unplace(self, text):
        return text.replace(*reversed(self._address)) if self._address else text

    def _run(self, block, line, *, check=True):
        done = subprocess.run(
            ["bash", "-c", self._place(line)],
            cwd=self._folder,
            env=_make_environment(),
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        expected = _EXIT_CODE.search(line)
        if check:
            code = int(expected[1] if expected else 0)
            assert done.returncode == code, f"{block}: {line}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
        return self._unplace(done.stdout)

    def _run_python(self, block):
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-W", "error", "-u", Path(__file__).with_name("python_session.py")],
                cwd=self._folder,
                env=_make_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._python.stdin.write(json.dumps({"text": self._place(block.text), "name": str(block)}) + "\n")
        self._python.stdin.flush()
        line = self._python.stdout.readline()
        assert line, f"{block}: the Python session ended"
        reply = json.loads(line)
        assert reply["error"] == "", f"{block}:\n{reply['printed']}{reply['error']}"
        return self._unplace(reply["printed"])


def _make_environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONUTF8": "1"}
    environment.pop("FORCE_COLOR", None)  # what the pages show is plain
    return environment


def assert_shows(shown, printed):
    """``shown`` is ``printed``, save for ``...``, which stands for anything, and for where lines are broken."""
    parts = (re.escape(" ".join(part.split())) for part in shown.split("..."))
    found = " ".join(printed.split())
    assert re.fullmatch(r"\s*.*\s*".join(parts), found), f"shown:\n{shown}\nprinted:\n{printed}"


def _check_part(block, path):
    """The lines stand in the file, in this order and without others between them; their indent may differ."""
    shown, there = ([line.strip() for line in text.splitlines()] for text in (block.text, path.read_text("utf-8")))
    places = range(len(there) - len(shown) + 1)
    assert any(there[place : place + len(shown)] == shown for place in places), f"{block} is not in {path}"


def check_data(block):
    """What the block says can be read, and YAML is what a recipe may say."""
    if block.kind == "toml":
        tomllib.loads(block.text)
    elif block.kind == "json":
        json.loads(block.text)
    elif block.kind == "jsonl":
        for line in block.text.splitlines():
            json.loads(line)
    else:
        value, _ = read_yaml(block.text, Path(block.page))
        if "contract" not in value:
            _check_recipe_parts(value)


def _check_recipe_parts(value):
    """A recipe, or some keys of one, of a pool or of a member: what is left out there is put around them."""
    if "rows" in value:
        Recipe.model_validate(value)
        return
    keys = {"recipe": {}, "pool": {}, "member": {}}
    for key, part in value.items():
        models = {"recipe": Recipe, "pool": PoolSpec, "member": Member}
        level = next((name for name, model in models.items() if key in model.model_fields), None)
        assert level, f"neither a recipe nor a pool nor a member has {key!r}"
        keys[level][key] = part
    pool = {**keys["recipe"].pop("pool", {}), **keys["pool"]}
    needed = {"name": "any", "backend": "any", "task": "any"}
    members = [{**needed, **member} for member in pool.pop("members", [keys["member"]])]
    members += [{**needed, "name": member["fallback"]} for member in members if "fallback" in member]
    Recipe.model_validate({**keys["recipe"], "pool": {**pool, "members": members}})
