"""What runs before a commit is what is checked elsewhere: the same ruff, with the same configuration."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOOKS = {
    hook["id"]: hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repository["hooks"]
}


def read_lint():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    lint = tox["testenv:lint"]
    return lint["commands"].split("\n"), lint["deps"].split()


def test_the_hooks_are_there():
    assert set(HOOKS) == {"ruff", "ruff-format", "check-yaml", "end-of-file-fixer", "trailing-whitespace"}


@pytest.mark.parametrize(("name", "command"), [("ruff", "ruff check"), ("ruff-format", "ruff format --check")])
def test_ruff_is_called_as_in_tox_and_mends(name, command):
    commands, packages = read_lint()
    assert command in commands
    # mending instead of telling, and told of single files, which may be among those that are excluded
    assert set(HOOKS[name]["entry"].split()) == {*command.removesuffix(" --check").split(), "--force-exclude"} | (
        {"--fix"} if name == "ruff" else set()
    )
    assert HOOKS[name]["additional_dependencies"] == ["ruff"]
    assert "ruff" in packages


def test_there_is_one_configuration_of_ruff():
    assert "[tool.ruff]" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    others = [path for name in ("ruff.toml", ".ruff.toml") for path in ROOT.glob(name)]
    assert others == []
    assert not any("--config" in hook["entry"] or "--isolated" in hook["entry"] for hook in HOOKS.values())
