"""What CONTRIBUTING.md says of what stays, and for how long."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.specifiers import SpecifierSet

import pool_core
from pool_core.api import ENTRY_POINT_GROUP
from pool_core.registry import Registry, Selection
from pool_core.testing.distributions import write_distribution

ROOT = Path(__file__).parents[2]
POLICY = re.search(
    r"^## What stays, and for how long\n(.+?)^## ",
    (ROOT / "CONTRIBUTING.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)[1]
#: The only module that may warn of what is to go; it is there when something is.
WARNS = "pool_core/deprecations.py"


def test_the_policy_names_the_group_of_entry_points_and_the_next():
    stem, _, major = ENTRY_POINT_GROUP.rpartition("v")
    assert f"the entry-point group `{ENTRY_POINT_GROUP}`" in POLICY
    assert f"`{stem}v{int(major) + 1}`" in POLICY


def test_the_requirement_that_the_policy_shows_admits_this_version():
    shown = re.search(r"`pool-core(>=[^`]+)`", POLICY)[1]
    assert pool_core.__version__ in SpecifierSet(shown)


def test_one_module_warns_of_what_is_to_go():
    assert f"`{WARNS}`" in POLICY
    sources = [*ROOT.glob("pool_core/**/*.py"), *ROOT.glob("plugins/*/pool_*/**/*.py")]
    assert len(sources) > 100
    words = re.compile(r"DeprecationWarning|FutureWarning|warn_on_impl")
    warn = {path.relative_to(ROOT).as_posix() for path in sources if words.search(path.read_text("utf-8"))}
    assert warn <= {WARNS}
    assert (WARNS in warn) == ("there is no such module" not in POLICY)


def test_a_distribution_may_be_made_for_two_majors(tmp_path, monkeypatch):
    stem, _, major = ENTRY_POINT_GROUP.rpartition("v")
    later = f"{stem}v{int(major) + 1}"
    write_distribution(
        tmp_path,
        entry_points={ENTRY_POINT_GROUP: {"two": "pool_of_two_majors"}, later: {"two": "pool_of_two_majors.later"}},
        modules={
            "pool_of_two_majors": "from pool_core.api import hookimpl\n\n@hookimpl\ndef pool_tasks():\n    return []\n",
            "pool_of_two_majors.later": "raise SystemError('it is not imported')\n",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Registry.discover(Selection(), path=[str(tmp_path)]).plugins
    assert {(plugin.record.api_major, plugin.state) for plugin in plugins} == {
        (int(major), "active"),
        (int(major) + 1, "incompatible"),
    }
