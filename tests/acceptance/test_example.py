"""The example of the README, run as a person runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.plugins("standard", "replay")

EXAMPLE = Path(__file__).parents[2] / "examples" / "mixed-tasks"


def run_pool(*arguments, cwd):
    command = [sys.executable, "-m", "pool_core", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def example(tmp_path):
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mixed-tasks", ignore=shutil.ignore_patterns("runs", "output*")))


def test_it_runs_to_the_end_and_says_so(example):
    done = run_pool("run", example / "recipe.yaml", cwd=example.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete: every cell is ok" in done.stdout
    rows = [json.loads(line) for line in (example / "output.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 24
    for row in rows:
        assert [part["member"] for part in row["generations"]] == ["scribe", "sage", "coder"]
        assert all(part["status"] == "ok" and part["generation"] for part in row["generations"])
    assert (example / "runs" / "recipe" / "run.sqlite").is_file()


def test_run_again_it_asks_nothing_and_gives_the_same(example):
    run_pool("run", example / "recipe.yaml", "--quiet", cwd=example)
    first = (example / "output.jsonl").read_bytes()
    done = run_pool("run", "recipe.yaml", "--json", cwd=example)
    summary = json.loads(done.stdout)
    assert [(member["requests"], member["ok"]) for member in summary["members"]] == [(0, 24)] * 3
    assert (example / "output.jsonl").read_bytes() == first


def test_it_is_refused_without_its_adapter_and_accepted_with_the_proposed_one(example):
    recipe = example / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.strip().startswith("outputs:")]
    recipe.write_text(text.replace(line + "\n", ""), encoding="utf-8")
    refused = run_pool("check", "recipe.yaml", "--json", cwd=example)
    assert refused.returncode == 4
    (finding,) = [finding for finding in json.loads(refused.stdout)["findings"] if finding["level"] == "error"]
    assert (finding["rule"], finding["members"]) == ("output-names", ["coder"])
    indent = line[: len(line) - len(line.lstrip())]
    recipe.write_text(
        recipe.read_text(encoding="utf-8").rstrip("\n") + f"\n{indent}{finding['fix']}\n", encoding="utf-8"
    )
    assert run_pool("check", "recipe.yaml", cwd=example).returncode == 0


def test_checking_classes_refuses_the_code_task_and_names_members_and_classes(example):
    recipe = example / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("[output-schema]", "[same-family]"), encoding="utf-8")
    refused = run_pool("check", "recipe.yaml", "--json", cwd=example)
    assert refused.returncode == 4
    (finding,) = json.loads(refused.stdout)["findings"]
    assert finding["rule"] == "same-family"
    for name in ("scribe", "sage", "coder", "TextGeneration", "CodeGeneration"):
        assert name in finding["message"]
