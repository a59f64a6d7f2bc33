"""What the examinations mean, and what to do."""

from __future__ import annotations

import re

import pytest

import pool_core

REPORT = "report it to the plugin's authors, or switch it off: --block {}"


def collect(findings, source):
    return [(one.level, one.rule, one.message, one.hint) for one in findings if one.source == source]


def test_nothing_is_said_of_a_good_plugin(findings):
    assert collect(findings, "ok") == []


@pytest.mark.parametrize(
    ("source", "level", "rule", "message", "hint"),
    [
        ("raises", "error", "plugin-failed", "pool-raises 1.0: RuntimeError: boom", REPORT.format("raises")),
        (
            "old",
            "error",
            "plugin-incompatible",
            "pool-old 1.0: made for plugin API 0, an older one; this core speaks 1. Try: pip install -U pool-old",
            "",
        ),
        (
            "future",
            "error",
            "plugin-incompatible",
            f"pool-future 1.0: needs pool-core >=9, not {pool_core.__version__}. Try: pip install -U pool-future",
            "",
        ),
        (
            "lacks",
            "info",
            "plugin-needs",
            "the policy lacks/fast needs no_such_module, which is not installed",
            'to use it: pip install "pool-lacks[fast]"',
        ),
        (
            "wrong",
            "error",
            "plugin-offer",
            (
                "the policy wrong/nothing of pool-wrong 1.0 cannot be imported: "
                "AttributeError: module 'pool_ok.parts' has no attribute 'Nothing'"
            ),
            REPORT.format("wrong"),
        ),
        (
            "unmarked",
            "warning",
            "plugin-unmarked",
            "its entry module has pool_tasks without @hookimpl: nothing calls that",
            "its authors can mark it: `from pool_core.api import hookimpl`, and @hookimpl above the function",
        ),
        (
            "empty",
            "warning",
            "plugin-empty",
            "it offers nothing: pool_empty implements no hook",
            "its authors can let the entry point name the module that has the hooks",
        ),
        (
            "unbound",
            "warning",
            "plugin-unbound",
            "pool-unbound 1.0 does not say which pool-core it needs: a core that is too new is not told apart",
            'its authors can declare `dependencies = ["pool-core>=0.1,<0.2"]`',
        ),
    ],
)
def test_each_says_what_and_what_to_do(findings, source, level, rule, message, hint):
    assert collect(findings, source) == [(level, rule, message, hint)]


def test_both_claimants_of_a_plugins_name_are_told(findings):
    told = collect(findings, "taken")
    assert [one[:2] for one in told] == [("error", "plugin-clashing")] * 2
    assert all("is claimed by pool-taken-a 1.0 and pool-taken-b 1.0. Uninstall one" in one[2] for one in told)


def test_a_heavy_entry_module_is_a_warning_with_the_packages(findings):
    (found,) = [one for one in findings if one.rule == "plugin-heavy"]
    assert (found.level, found.source) == ("warning", "heavy")
    assert found.message.startswith("its entry module imports ")
    assert "pydantic, " in found.message
    assert found.message.endswith(", which every command pays for")
    assert found.hint.startswith("its authors can import them where they are used")


def test_a_slow_entry_module_is_a_warning_with_its_time(findings):
    (found,) = [one for one in findings if one.rule == "plugin-slow" and one.source == "slow"]
    assert found.level == "warning"
    assert re.fullmatch(r"its entry module takes \d{3,} ms of CPU time, which every command pays", found.message)
    assert found.hint == "below 50 ms is well; `python -X importtime` shows where it goes"


def test_a_name_that_two_offer_is_told(findings):
    (found,) = [one for one in findings if one.rule == "name-taken"]
    assert found.message == (
        "the policy 'verdict' is offered by first/verdict and second/verdict: the short name means neither"
    )
    assert found.hint == "write the qualified name in recipes, or block a plugin"


def test_an_ending_that_two_answer_for_is_told(findings):
    (found,) = [one for one in findings if one.rule == "ending-taken"]
    assert found.message == "lines/lines and words/words both answer for '.txt' files: the ending means neither"
    assert found.hint == "say which one in recipes: reader: lines/lines"
