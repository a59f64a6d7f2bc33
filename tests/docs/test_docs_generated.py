"""The pages of docs/reference are what the code says, and every rule of a finding is documented."""

from __future__ import annotations

import re
from pathlib import Path

import gen_reference
import pytest
from gen_cli import list_commands
from gen_errors import list_errors
from gen_findings import collect_rules
from typer.testing import CliRunner

from pool_core import errors, hookspecs
from pool_core.cli.main import app
from pool_core.errors import PoolError
from pool_core.interfaces.values import Cause

ROOT = Path(__file__).parents[2]


def compare_pages(made):
    committed = {name: (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in made}
    different = sorted(name for name in made if made[name] != committed[name])
    assert different == [], f"run `python docs/gen_reference.py`: {', '.join(different)}"


def test_the_pages_on_the_core_are_as_generated():
    compare_pages(gen_reference.make_core_pages())


@pytest.mark.plugins("standard", "replay", "openai", "transformers", "llamacpp", "vllm")
def test_the_pages_on_plugins_are_as_generated():
    pytest.importorskip("pyarrow")
    compare_pages(gen_reference.make_plugin_pages())


def test_no_page_is_left_over():
    made = [*gen_reference.make_core_pages(), *(f"plugin-{name}.md" for name in gen_reference.PLUGINS)]
    pages = (ROOT / "docs").rglob("*.md")
    marked = [page.name for page in pages if page.read_text(encoding="utf-8").startswith(gen_reference.NOTE)]
    assert sorted(marked) == sorted(made)


def test_every_rule_has_a_heading_and_every_heading_a_rule():
    page = (ROOT / "docs" / "reference" / "findings.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    rules = collect_rules("the core") | collect_rules("pool-standard")
    assert {"output-names", "render", "hook-failed", "contract-added"} <= set(rules)
    assert set(headings) == set(rules)
    assert all(rules.values()), "a rule without a level"


def test_each_rule_says_what_why_and_how_to_cure_it():
    page = (ROOT / "docs" / "reference" / "findings.md").read_text(encoding="utf-8")
    for section in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        rule = section.splitlines()[0]
        assert re.search(r"^\*(Error|Warning|Info)\b", section, re.MULTILINE), rule
        assert "\nWhy: " in section, rule
        assert "\nCure: " in section, rule


def list_headings(page):
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    return re.findall(r"^## `([^`]+)`$", text, re.MULTILINE)


def test_every_hook_has_a_section():
    hooks = [name for name in vars(hookspecs) if name.startswith("pool_")]
    assert "pool_tasks" in hooks
    assert list_headings("hooks.md") == hooks


def test_every_error_has_a_section():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, PoolError)]
    assert list_headings("errors.md") == [cls.__name__ for cls in classes] == [cls.__name__ for cls in list_errors()]


def test_every_cause_has_a_row():
    text = (ROOT / "docs" / "reference" / "causes.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE) == [str(cause) for cause in Cause]


def test_every_command_has_a_section():
    """The commands as the program's own help lists them."""
    commands = list_headings("cli.md")
    assert commands == [name for name, _ in list_commands(app)]
    assert {"pool run", "pool plugins list", "pool contract write"} <= set(commands)
    for command in commands:
        done = CliRunner().invoke(app, [*command.split()[1:], "--help"], env={"COLUMNS": "200"})
        assert done.exit_code == 0, command
        pattern = r"--[a-z][a-z-]*"
        shown = set(re.findall(pattern, re.sub(r"\x1b\[[0-9;]*m", "", done.output)))
        assert set(re.findall(pattern, read_section("cli.md", command))) == shown - {"--help"}, command


def read_section(page, heading):
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    return text.partition(f"## `{heading}`\n")[2].partition("\n## ")[0]
