"""Each plugin is looked at in a process of its own, and none can hurt the others or the one that looks."""

from __future__ import annotations

import sys

import pytest

import pool_core
from pool_core.doctor.examination import Offer, examine_plugins
from pool_core.registry import Selection
from pool_core.testing.distributions import write_distribution


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "RuntimeError: boom"),
        ("leaves", "its import tried to end the process (SystemExit: 3)"),
        ("ends", "its import ended the process (exit code 7): so long"),
        ("misspelt", "there is no hook 'pool_taks'; did you mean 'pool_tasks'?"),
    ],
)
def test_a_broken_plugin_has_failed_and_says_why(examinations, name, reason):
    plugin = examinations[name].plugin
    assert (plugin.state, plugin.reason, examinations[name].offers) == ("failed", reason, ())


def test_a_crash_in_c_code_ends_its_own_process_alone(examinations):
    plugin = examinations["crashes"].plugin
    assert plugin.state == "failed"
    assert plugin.reason.startswith("its import ended the process with SIGABRT")


def test_an_import_that_does_not_end_is_ended(tmp_path):
    write_distribution(
        tmp_path,
        name="pool-hangs",
        entry_points={"pool_core.plugins.v1": {"hangs": "pool_hangs"}},
        modules={"pool_hangs": "import threading\nthreading.Event().wait()"},
    )
    (seen,) = examine_plugins(Selection(), [str(tmp_path)], patience=0.5)
    assert (seen.plugin.state, seen.plugin.reason) == ("failed", "its import did not end within 0.5 s")


def test_what_may_not_load_is_not_run(examinations):
    states = {name: examinations[name].plugin.state for name in ("old", "future", "taken-a", "taken-b")}
    assert states == {"old": "incompatible", "future": "incompatible", "taken-a": "clashing", "taken-b": "clashing"}
    assert {examinations[name].seconds for name in states} == {None}
    assert examinations["future"].plugin.reason.startswith(f"needs pool-core >=9, not {pool_core.__version__}.")


def test_what_is_switched_off_is_not_run(site):
    seen = examine_plugins(Selection.parse("ok", ["raises"]), [str(site)])
    assert [one.plugin.record.name for one in seen if one.seconds is not None] == ["ok"]
    assert {one.plugin.state for one in seen} == {"active", "blocked"}


def test_a_good_plugin_is_active_and_cheap(examinations):
    seen = examinations["ok"]
    assert (seen.plugin.state, seen.heavy, seen.plugin.hooks) == ("active", (), ("pool_run_started",))
    assert seen.offers == (Offer("policy", "ok-verdict", (), (), "", ""),)
    assert seen.seconds is not None


def test_the_examiner_imports_nothing_of_them(examinations, site):
    assert examinations
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    assert not [file for file in files if file.startswith(str(site))]


def test_what_a_plugin_prints_does_not_stand_in_the_answer(examinations):
    assert examinations["loud"].plugin.state == "active"
    assert [offer.name for offer in examinations["loud"].offers] == ["loud"]


def test_what_an_entry_module_pulls_is_named(examinations):
    heavy = set(examinations["heavy"].heavy)
    assert {"pydantic", "foreign", "pool_core.recipe", "pool_core.errors"} <= heavy
    assert not heavy & {"pool_core", "pool_core.api", "pluggy", "json", "pool_heavy"}


def test_cpu_time_is_measured(examinations):
    assert examinations["slow"].seconds >= 0.1


def test_missing_modules_are_named_with_what_to_install(examinations):
    (offer,) = examinations["lacks"].offers
    assert (offer.missing, offer.install, offer.problem) == (("no_such_module",), "pool-lacks[fast]", "")


def test_a_class_that_is_not_there_is_told(examinations):
    (offer,) = examinations["wrong"].offers
    assert offer.problem == (
        "the policy wrong/nothing of pool-wrong 1.0 cannot be imported: "
        "AttributeError: module 'pool_ok.parts' has no attribute 'Nothing'"
    )
