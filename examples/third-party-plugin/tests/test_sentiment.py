"""The plugin as a user has it: installed with pip, found through its metadata, used in a recipe."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pool_core import Member, Pool, run_recipe
from pool_core.errors import IncompatibleError
from pool_core.testing.scripted import ScriptedBackend

EXAMPLES = Path(__file__).parents[1] / "examples"


def make_member(name, answer="It is Positive.", **more):
    return Member(name=name, task="sentiment", backend=ScriptedBackend(lambda _: answer), **more)


def test_it_is_listed_with_what_it_offers():
    done = subprocess.run(
        [sys.executable, "-m", "pool_core", "plugins", "show", "sentiment", "--json"],
        capture_output=True,
        check=True,
    )
    (plugin,) = json.loads(done.stdout)["plugins"]
    assert plugin["state"] == "active"
    assert [offer["qualified"] for offer in plugin["offers"]] == ["sentiment/sentiment", "sentiment/odd-number"]
    assert plugin["hooks"] == ["pool_check_compatibility", "pool_conformance"]


def test_its_task_works_in_a_pool(tmp_path):
    pool = Pool(members=[make_member("a"), make_member("b", "good or bad?")], policies=[])
    result = pool.run([{"text": "Fine weather."}], run_dir=tmp_path / "run")
    (row,) = result.rows()
    first, second = row["generations"]
    assert (first["label"], first["status"]) == ("positive", "ok")
    assert (second["label"], second["cause"]) == (None, "parse")
    assert second["message"] == "the answer names 0 labels, one is needed"


def test_its_policy_acts_when_named(tmp_path):
    pool = Pool(members=[make_member("a"), make_member("b")], policies=["odd-number"])
    with pytest.raises(IncompatibleError, match="2 members can be of two minds"):
        pool.run([{"text": "Fine weather."}], run_dir=tmp_path / "run")


def test_its_hook_acts_on_every_plan():
    plan = Pool(members=[make_member("a", sampling={"temperature": 0.5})], policies=[]).check([{"text": "x"}])
    (finding,) = plan.findings
    assert (finding.rule, finding.level, finding.members) == ("sentiment-repeatable", "warning", ("a",))
    assert plan.compatible


def copy_example(source, target):
    """Copy the recipe and what it reads; not what a run of it has left behind."""
    for pattern in ("*.yaml", "*.jsonl"):
        for file in source.glob(pattern):
            if file.name != "labels.jsonl":
                shutil.copy(file, target)


def test_what_a_run_left_behind_is_not_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    target.mkdir()
    (source / "runs" / "labels").mkdir(parents=True)
    for name in ("labels.yaml", "texts.jsonl", "labels.jsonl"):
        (source / name).write_text("")
    copy_example(source, target)
    assert sorted(path.name for path in target.iterdir()) == ["labels.yaml", "texts.jsonl"]


@pytest.mark.skipif(not all(map(find_spec, ("pool_standard", "pool_replay"))), reason="needs a reader and a recording")
def test_it_works_in_a_recipe(tmp_path):
    copy_example(EXAMPLES, tmp_path)
    result = run_recipe(tmp_path / "labels.yaml")
    assert result.summary.status == "complete"
    labels = [[part["label"] for part in row["generations"]] for row in result.rows()]
    assert labels == [["positive", "positive", "neutral"], ["negative", "negative", "negative"]]
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 2
