"""The pages of docs/reference are what the code says, and every rule of a finding is documented."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import get_args

import pytest

from pool_core.interfaces.contract import ChangeKind

ROOT = Path(__file__).parents[2]
CHECKS = [
    ROOT / "pool_core" / "interfaces" / "policy.py",
    *sorted((ROOT / "pool_core" / "plan").glob("*.py")),
    ROOT / "pool_core" / "registry" / "registry.py",
    *sorted((ROOT / "plugins" / "pool-standard" / "pool_standard" / "policies").glob("*.py")),
]


def load_generator():
    path = ROOT / "docs" / "gen_reference.py"
    spec = importlib.util.spec_from_file_location("gen_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare_pages(made):
    committed = {name: (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in made}
    different = sorted(name for name in made if made[name] != committed[name])
    assert different == [], f"run `python docs/gen_reference.py`: {', '.join(different)}"


def test_the_pages_on_the_core_are_as_generated():
    compare_pages(load_generator().make_core_pages())


@pytest.mark.plugins("standard", "replay", "openai", "transformers", "llamacpp", "vllm")
def test_the_pages_on_plugins_are_as_generated():
    pytest.importorskip("pyarrow")
    compare_pages(load_generator().make_plugin_pages())


def test_no_page_is_left_over():
    generator = load_generator()
    expected = {"recipe.md", "hooks.md", "causes.md", "faults.md", *(f"plugin-{name}.md" for name in generator.PLUGINS)}
    assert {path.name for path in (ROOT / "docs" / "reference").iterdir()} == expected


def collect_rules(path):
    """The rules that the module gives, to ``Finding(level, rule, ...)`` and ``_error(member, rule, ...)``."""
    rules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Finding", "_error"):
            given = [keyword.value for keyword in node.keywords if keyword.arg == "rule"] + node.args[1:2]
            for rule in given:
                rules |= spell_rule(rule)
    return rules


def spell_rule(node):
    """The rules that an expression stands for: one, or one for each kind of change of a contract."""
    match node:
        case ast.Constant(value):
            return {value}
        case ast.JoinedStr([ast.Constant("contract-"), ast.FormattedValue()]):
            return {f"contract-{kind}" for kind in get_args(ChangeKind)}
        case ast.Name("rule"):
            return set()  # passed on: its callers are looked at
        case ast.IfExp(_, one, other):
            return spell_rule(one) | spell_rule(other)
    raise AssertionError(f"nobody knows which rule this is: {ast.unparse(node)}")


def test_every_rule_has_a_heading_and_every_heading_a_rule():
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    found = [collect_rules(path) for path in CHECKS]
    assert {"output-names", "render", "hook-failed"} <= set().union(*found)
    assert set(headings) == set().union(*found)


def test_each_rule_says_what_why_and_how_to_cure_it():
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    for section in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        rule = section.splitlines()[0]
        assert re.search(r"^\*(Error|Warning|Info)\b", section, re.MULTILINE), rule
        assert "\nWhy: " in section, rule
        assert "\nCure: " in section, rule
