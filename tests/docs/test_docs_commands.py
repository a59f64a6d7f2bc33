"""The commands, Python blocks, recipes and outputs that the pages show are true.

A page is read from top to bottom in one folder with a copy of the examples:

- every line of a ``sh`` block is run; it ends with the code of a comment ``# exit code N`` behind it, or 0;
- a ``text`` block after ``<!-- shows: COMMAND -->`` is what the command prints; ``...`` stands for anything;
- all ``python`` blocks are one program;
- ``yaml`` blocks are YAML of the recipe's subset, and those with rows, output and pool are recipes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pool_core.recipe.models import Recipe
from pool_core.recipe.yaml_source import read_yaml

ROOT = Path(__file__).parents[2]
NEEDED = pytest.mark.plugins("standard", "replay")
NEEDED_SENTIMENT = pytest.mark.plugins("standard", "replay", "sentiment")

_BLOCK = re.compile(r"^(?:<!-- (?P<note>[^\n]+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN = re.compile(r"(pool|sed) ")
_EXIT_CODE = re.compile(r"# exit code (\d+)$")


@dataclass(frozen=True)
class Block:
    kind: str
    note: str
    text: str


def read_blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(found["kind"], found["note"] or "", found["text"]) for found in _BLOCK.finditer(text)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a copy of the examples."""
    ignored = shutil.ignore_patterns("runs", "output.*", "labels.jsonl", ".venv", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_line(line, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONUTF8": "1"}
    environment.pop("FORCE_COLOR", None)  # what the pages show is plain
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def assert_shows(shown, printed):
    """``shown`` is ``printed``, save for ``...``, which stands for anything, and for where lines are broken."""
    parts = (re.escape(" ".join(part.split())) for part in shown.split("..."))
    found = " ".join(printed.split())
    assert re.fullmatch(r"\s*.*\s*".join(parts), found), f"shown:\n{shown}\nprinted:\n{printed}"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("README.md", marks=NEEDED),
        pytest.param("docs/index.md", marks=NEEDED),
        pytest.param("docs/budget.md", marks=NEEDED),
        pytest.param("docs/contract.md", marks=NEEDED),
        pytest.param("docs/layouts.md", marks=NEEDED_SENTIMENT),
        pytest.param("docs/plugins.md", marks=NEEDED_SENTIMENT),
        pytest.param("docs/runs.md", marks=NEEDED),
    ],
)
def test_the_commands_of_a_page_do_what_it_says(page, folder):
    count = 0
    for block in read_blocks(page):
        if block.kind == "sh" and block.note not in ("run", "test"):
            for line in block.text.splitlines():
                assert _RUN.match(line), f"nobody tries this line: {line}"
                expected = _EXIT_CODE.search(line)
                done = run_line(line, folder)
                assert done.returncode == int(expected[1] if expected else 0), f"{line}\n{done.stdout}{done.stderr}"
                count += 1
        elif block.note.startswith("shows: "):
            assert_shows(block.text, run_line(block.note.removeprefix("shows: "), folder).stdout)
            count += 1
    assert count >= 4


def test_no_other_page_has_commands():
    pages_of_docs = ("index", "budget", "contract", "layouts", "plugins", "runs")
    tried = {"README.md", *(f"docs/{name}.md" for name in pages_of_docs)}
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    for page in sorted(pages - tried):
        assert [block for block in read_blocks(page) if block.kind == "sh" or block.note.startswith("shows:")] == []


def test_shown_output_is_compared():
    assert_shows("a\n...\nc\nd...\n", "a\nb\nc\n  d and more\n")
    assert_shows("a b\nc\n", "a\n    b c\n")
    for shown in ("a\nc\n", "c\n", "...\nx\n", "a\n...\nc\nd\n", "ab\nc\n"):
        with pytest.raises(AssertionError):
            assert_shows(shown, "a\nb\nc\nd and more\n")


@NEEDED
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/python.md",
        "docs/testing.md",
        # it needs pool-standard[structured], which is where everything is
        pytest.param("docs/structured.md", marks=pytest.mark.plugins("openai")),
    ],
)
def test_the_python_blocks_of_a_page_run_one_after_the_other(page, folder):
    blocks = [block.text for block in read_blocks(page) if block.kind == "python"]
    assert blocks
    program = folder / "program.py"
    program.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_other_page_has_python_blocks():
    for path in (ROOT / "docs").rglob("*.md"):
        if path.name not in ("python.md", "structured.md", "testing.md"):
            assert [block for block in read_blocks(path.relative_to(ROOT)) if block.kind == "python"] == [], path.name


@pytest.mark.parametrize(
    "page", ["README.md", "docs/budget.md", "docs/contract.md", "docs/recipe.md", "docs/formats.md"]
)
def test_the_yaml_of_a_page_is_what_recipes_may_say(page):
    blocks = [block.text for block in read_blocks(page) if block.kind == "yaml"]
    assert blocks
    for text in blocks:
        value, _ = read_yaml(text, Path(page))
        if "pool" in value:
            Recipe.model_validate(value)


def test_the_readme_starts_with_its_two_commands():
    run, test = read_blocks("README.md")[:2]
    assert (run.note, run.kind, len(run.text.splitlines())) == ("run", "sh", 1)
    assert (test.note, test.kind, len(test.text.splitlines())) == ("test", "sh", 1)
    assert "pool run examples/mixed-tasks/recipe.yaml" in run.text
    assert "tox run" in test.text
