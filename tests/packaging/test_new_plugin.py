"""What `pool new plugin` writes works as it stands: built, installed, tested, examined, in a run. Every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pool_core.scaffold.plugin import KINDS, NewPlugin, write_plugin

pytest.importorskip("hatchling")
pytest.importorskip("hypothesis")
pytest.importorskip("jsonschema")
pytestmark = pytest.mark.plugins("standard", "replay")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    """The folder that is written."""
    return write_plugin(NewPlugin(f"zz-{kind}", kind), tmp_path_factory.mktemp("new"))[0]


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Run a module of Python where the plugin is installed, and in its folder."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", site, folder], check=True, timeout=300)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "POOL_"))}

    def run_module(*arguments):
        return subprocess.run(
            [sys.executable, "-P", "-m", *arguments],
            cwd=folder,
            env={**kept, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run_module


def test_its_own_tests_pass(run):
    done = run("pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_it_is_active_and_the_doctor_has_nothing_to_say(run, kind):
    done = run("pool_core", "plugins", "doctor", "--json", "--plugins", f"zz-{kind}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    (plugin,) = [plugin for plugin in found["plugins"] if plugin["state"] != "blocked"]
    assert (plugin["distribution"], plugin["state"], plugin["heavy"]) == (f"pool-zz-{kind}", "active", [])
    assert [finding for finding in found["findings"] if finding["rule"] != "plugin-slow"] == []


def test_the_installed_plugin_passes_the_kit(run, kind):
    done = run("pool_core", "plugins", "check", f"pool-zz-{kind}")
    if kind == "hook":
        assert (done.returncode, done.stderr) == (
            2,
            (
                "error: the plugin 'pool-zz-hook' offers nothing that the conformance kit is for\n"
                "  it checks what recipes name, such as tasks and backends; hooks are for tests of their own\n"
            ),
        )
    else:
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout


def test_it_works_in_a_run(run, folder, kind):
    done = run("pool_core", "run", "example/recipe.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["status"] == "complete"
    lines = (folder / "example" / "output.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2"]
    shown = run("pool_core", "check", "example/recipe.yaml", "--json")
    rules = [finding["rule"] for finding in json.loads(shown.stdout)["findings"]]
    assert rules == (["zz-hook-hot"] if kind == "hook" else [])
