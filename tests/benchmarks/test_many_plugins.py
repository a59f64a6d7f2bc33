"""Fifty plugins, ten of them broken in ten ways: a run that needs none of the broken ones is as it would be alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pool_core.registry import Registry


@pytest.fixture
def home(tmp_path):
    import many_plugins  # the benchmark's program

    many_plugins.write_needed(tmp_path / "site")
    assert many_plugins.write_many(tmp_path / "site") == 50
    many_plugins.write_recipe(tmp_path)
    return tmp_path


def run_pool(home, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "POOL_PLUGINS"}
    return subprocess.run(
        [sys.executable, "-m", "pool_core", *arguments],
        cwd=home,
        env={**environment, "PYTHONPATH": str(home / "site")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_run_that_needs_none_of_the_broken_ones_works(home):
    done = run_pool(home, "run", "recipe.yaml", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "complete"
    assert [row["id"] for row in json.loads((home / "out.json").read_text())] == ["1", "2"]


def test_ten_are_broken_each_in_its_own_way(home, monkeypatch):
    monkeypatch.syspath_prepend(str(home / "site"))
    monkeypatch.delenv("POOL_PLUGINS", raising=False)
    plugins = Registry.discover(path=[str(home / "site")]).plugins
    broken = {plugin.record.distribution: plugin.reason for plugin in plugins if plugin.state != "active"}
    assert (len(plugins), len(broken)) == (51, 10)
    assert len(set(broken.values())) == 10


def test_what_they_break_is_told_to_who_needs_it(home):
    recipe = home / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("task: echo", "task: exits"))
    done = run_pool(home, "run", "recipe.yaml")
    assert done.returncode == 2
    assert "there is no task named 'exits'" in done.stderr
    assert "pool-exits 1.0 is failed: its import tried to end the process (SystemExit: 3)" in done.stderr
