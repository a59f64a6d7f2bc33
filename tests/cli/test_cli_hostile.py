"""Recipes and plugins that would take the command line down, or make it say what is not so."""

from __future__ import annotations

import errno

import pytest

from pool_core.cli import check
from pool_core.testing.distributions import write_distribution

openai = pytest.mark.plugins("standard", "openai")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install one more plugin beside the fake one."""

    def write(name, **modules):
        points = {"pool_core.plugins.v1": {name: f"pool_{name}"}}
        write_distribution(tmp_path / "site", name=f"pool-{name}", version="1.0", entry_points=points, modules=modules)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.setenv("POOL_PLUGINS", f"fake,{name}")

    return write


CANARY = "sk-canary-44cc"
WRONG_BACKENDS = {
    f"api_key: {CANARY}": (
        "api_key: api_key must say where the key is, env:NAME or file:PATH, and never be the key itself"
    ),
    f"headers: {{Authorization: Bearer {CANARY}}}": (
        "headers: the header Authorization carries a secret; use api_key and key_header"
    ),
    "extra: {model: x}": "extra: extra cannot set model: the backend does",
    "api: chatt": "api: input should be 'chat' or 'completions'",
    "key_header: foo": "key_header: input should be 'authorization', 'api-key' or 'x-api-key'",
}


@openai
@pytest.mark.parametrize("wrong", WRONG_BACKENDS)
def test_a_wrong_backend_is_told_at_its_line_and_its_values_are_not(pool, tmp_path, wrong):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "x"}\n')
    (tmp_path / "k.yaml").write_text(
        "rows: rows.jsonl\npool:\n  members:\n    - name: a\n      task: text-generation\n"
        f"      backend:\n        use: openai\n        model: m\n        {wrong}\n"
    )
    done = pool("check", "k.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: k.yaml:9: pool.members[0].backend.{WRONG_BACKENDS[wrong]}")
    assert "Traceback" not in done.err
    assert CANARY not in done.err


@pytest.mark.parametrize("place", ["def judge(self, members): sys.exit(0)", "def __init__(self, config): sys.exit(0)"])
def test_a_policy_that_ends_the_process_does_not_pass(pool, recipe, install, place):
    module = (
        "import sys\nfrom pool_core.api import Contribution, hookimpl\n"
        "@hookimpl\ndef pool_policies():\n    yield Contribution('leave', 'pool_leaveNUMBER_impl:Leave')\n"
    )
    policy = (
        "import sys\nfrom pool_core.interfaces.config import PluginConfig\n"
        "from pool_core.interfaces.policy import Policy\n"
        f"class Leave(Policy):\n    Config = PluginConfig\n    def judge(self, members): return ()\n    {place}\n"
    )
    number = "judge" if "judge" in place else "init"
    install(
        "leave" + number,
        **{f"pool_leave{number}": module.replace("NUMBER", number), f"pool_leave{number}_impl": policy},
    )
    recipe.write_text(recipe.read_text().replace("policies: []", "policies: [leave]"))
    done = pool("check", recipe)
    assert done.code in (2, 4)
    assert "SystemExit" in done.out + done.err or "cannot be made" in done.err


def test_a_plugin_that_prints_does_not_spoil_json(pool, recipe, install):
    install("loud", pool_loud="print('HELLO')\n")
    done = pool("plugins", "list", "--json")
    assert "loud" in {plugin["name"] for plugin in done.json["plugins"]}
    assert "HELLO" in done.err


def test_thousands_of_errors_are_told_in_a_few_lines(pool, recipe):
    recipe.write_text(recipe.read_text() + "".join(f"key{number}: 1\n" for number in range(5000)))
    done = pool("check", recipe)
    assert done.code == 2
    assert done.err.startswith("error: 5,000 things are wrong\n")
    assert len(done.err.splitlines()) == 22
    assert done.err.endswith("  and 4,980 more\n")


def test_an_output_without_room_is_no_bug(pool, recipe, monkeypatch):
    def fail(_value):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(check, "print_json", fail)
    done = pool("check", recipe, "--json")
    assert done.code == 1
    assert done.err == "error: the output cannot be written: there is no room left\n"
