"""Commands among packages whose metadata no program can read: what needs none of them works, and each is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pool_core.testing.distributions import write_distribution

GROUP = "pool_core.plugins.v1"
GOOD = "from pool_core.testing.scripted_plugin import ScriptedPlugin\nplugin = ScriptedPlugin()\n"
RECIPE = "rows: rows.json\noutput: out.json\npool: {policies: [], members: [{name: a, backend: echo, task: echo}]}\n"


@pytest.fixture
def run_pool(tmp_path):
    write_distribution(
        tmp_path, name="pool-fake", entry_points={GROUP: {"fake": "fake:plugin"}}, modules={"fake": GOOD}
    )
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "rows.json").write_text('[{"text": "x"}]')

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "POOL_PLUGINS": "fake,pool-broken"}
        command = [sys.executable, "-c", "from pool_core.cli.main import run; run()", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"[{GROUP}]\nx = pool_caf".encode() + b"\xe9\n", "UnicodeDecodeError"),
        (f"[{GROUP}]\nthis line says nothing\n".encode(), "TypeError"),
    ],
)
def test_entry_points_that_cannot_be_read_stop_no_command(tmp_path, run_pool, text, error):
    info = write_distribution(tmp_path, name="pool-broken", entry_points={GROUP: {"broken": "m"}})
    (info / "entry_points.txt").write_bytes(text)
    done = run_pool("run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "complete: every cell is ok" in done.stdout
    assert "RuntimeWarning: pydantic goes on without plugins of its own" in done.stderr
    done = run_pool("plugins", "doctor", "--json")
    assert done.returncode == 3, done.stderr
    (found,) = [one for one in json.loads(done.stdout)["findings"] if one["level"] == "error"]
    assert found["message"] == f"pool-broken 1.0: its entry_points.txt cannot be read ({error}). Reinstall pool-broken"


def test_metadata_that_is_no_text_stops_no_command(tmp_path, run_pool):
    info = write_distribution(tmp_path, name="pool-broken", entry_points={GROUP: {"broken": "m"}})
    (info / "METADATA").write_bytes(b"Metadata-Version: 2.1\nName: pool-broken\nVersion: 1.0\nSummary: caf\xe9\n")
    done = run_pool("run", "recipe.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    done = run_pool("plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = [one for one in json.loads(done.stdout)["plugins"] if one["distribution"] == "pool-broken"]
    assert (found["state"], found["reason"]) == (
        "failed",
        (
            f"{info} has no METADATA with a name, as an interrupted installation leaves it. "
            "Delete the folder, or reinstall the plugin"
        ),
    )
