"""Plugins that claim what others have: short names and endings of files, beside the standard ones."""

from __future__ import annotations

import pytest

pytest.importorskip("hatchling")
pytestmark = pytest.mark.plugins("standard", "replay")

CLASH = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("text-generation", "pool_standard.tasks.text_generation:TextGeneration", "Mine.")

@hookimpl
def pool_readers():
    yield Contribution("mine", "pool_standard.data.csv:CsvReader", "Mine.", suffixes=(".csv",))
"""
RECIPE = """
{rows}
pool:
  members:
    - {{name: one, backend: simulate, task: {task}}}
"""


@pytest.fixture(scope="module", autouse=True)
def installed(install):
    install("pool-mine", CLASH)


def test_a_short_name_that_two_offer_is_refused_and_both_are_named(run_pool):
    done = run_pool("check", "short.yaml", short=RECIPE.format(rows="", task="text-generation"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "the task 'text-generation' is offered by 2 plugins: mine/text-generation (pool-mine 1.0)" in done.stderr
    assert "standard/text-generation (pool-standard " in done.stderr
    assert "write the qualified name, or block one: --block pool-standard" in done.stderr


@pytest.mark.parametrize("name", ["mine/text-generation", "standard/text-generation"])
def test_a_qualified_name_works(run_pool, name):
    done = run_pool("check", "qualified.yaml", qualified=RECIPE.format(rows="", task=name))
    assert (done.returncode, done.stderr) == (0, "")


def test_blocking_one_frees_the_short_name(run_pool):
    recipe = RECIPE.format(rows="", task="text-generation")
    assert run_pool("check", "blocked.yaml", "--block", "mine", blocked=recipe).returncode == 0
    inside = recipe + "plugins: {block: [mine]}\n"
    assert run_pool("check", "inside.yaml", inside=inside).returncode == 0


def test_an_ending_that_two_answer_for_is_refused(run_pool):
    done = run_pool("check", "ending.yaml", ending=RECIPE.format(rows="rows: rows.csv", task="mine/text-generation"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "mine/mine, standard/csv all answer for '.csv' files" in done.stderr
    assert "say which one: reader: mine/mine" in done.stderr


def test_the_doctor_tells_both(run_pool):
    done = run_pool("plugins", "doctor")
    assert done.returncode == 0, done.stdout
    assert (
        "the task 'text-generation' is offered by mine/text-generation and standard/text-generation: "
        "the short name means neither  [name-taken]" in done.stdout
    )
    assert "mine/mine and standard/csv both answer for '.csv' files: the ending means neither" in done.stdout
