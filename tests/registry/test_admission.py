"""Which plugins may load, and what is said of the others."""

from __future__ import annotations

import pytest

from pool_core.errors import PluginError, UsageError
from pool_core.registry.admission import Selection, admit_records, check_required
from pool_core.registry.records import Plugin, Record


def make_record(name="x", distribution=None, *, version="1.0", api=1, requires="", problem=""):
    return Record(name, f"pool_{name}", distribution or f"pool-{name}", version, api, requires, False, problem)


def judge(*records, plugins=None, block=(), core="0.1.0"):
    admitted = admit_records(records, Selection.parse(plugins, block), core)
    assert [plugin.record for plugin in admitted] == list(records)
    return [(plugin.state, plugin.reason) for plugin in admitted]


@pytest.mark.parametrize(
    ("text", "only"),
    [
        (None, None),
        ("off", frozenset()),
        (" off ", frozenset()),
        ("a", frozenset({"a"})),
        ("a, B_c,", frozenset({"a", "b-c"})),
        ("a,off", frozenset({"a", "off"})),
    ],
)
def test_the_switch_names_plugins_or_none(text, only):
    assert Selection.parse(text).only == only


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_a_switch_without_a_name_is_refused(text):
    with pytest.raises(UsageError) as caught:
        Selection.parse(text)
    assert str(caught.value) == "--plugins or POOL_PLUGINS: no plugin is named\n  write `off`, or names: `a,b`"


def test_all_are_active_without_switches():
    assert judge(make_record("a"), make_record("b", requires=">=0.1,<0.2")) == [("active", ""), ("active", "")]


@pytest.mark.parametrize("name", ["b", "pool-b", "Pool_B"])
def test_a_plugin_is_blocked_by_its_name_or_its_distribution(name):
    assert judge(make_record("a"), make_record("b"), block=[name]) == [
        ("active", ""),
        ("blocked", "blocked by --block or the recipe"),
    ]


def test_blocking_what_is_not_installed_changes_nothing():
    assert judge(make_record("a"), block=["zzz"]) == [("active", "")]


def test_only_those_that_the_switch_names_are_active():
    blocked = ("blocked", "not among the plugins that --plugins or POOL_PLUGINS names")
    records = [make_record("a"), make_record("b"), make_record("c")]
    assert judge(*records, plugins="a,pool-c") == [("active", ""), blocked, ("active", "")]
    assert judge(*records, plugins="off") == [blocked] * 3


def test_a_block_wins_over_the_switch():
    assert judge(make_record("a"), plugins="a", block=["a"]) == [("blocked", "blocked by --block or the recipe")]


def test_switching_on_what_is_not_installed_is_an_error():
    with pytest.raises(PluginError) as caught:
        judge(make_record("a"), plugins="zz,a,yy")
    assert str(caught.value) == ("--plugins or POOL_PLUGINS: no plugin yy, zz is installed\n  see `pool plugins list`")


def test_another_major_of_the_api_is_incompatible_and_says_what_to_update():
    assert judge(make_record("old", api=0), make_record("new", api=2)) == [
        ("incompatible", "made for plugin API 0, an older one; this core speaks 1. Try: pip install -U pool-old"),
        ("incompatible", "made for plugin API 2, a newer one; this core speaks 1. Try: pip install -U pool-core"),
    ]


def test_another_core_is_incompatible():
    assert judge(make_record(requires=">=9")) == [
        ("incompatible", "needs pool-core >=9, not 0.1.0. Try: pip install -U pool-x")
    ]


def test_a_pre_release_of_the_core_counts():
    assert judge(make_record(requires=">=0.1,<0.3"), core="0.2.0rc1") == [("active", "")]


def test_two_distributions_that_claim_a_name_clash():
    reason = (
        "the plugin name 'x' is claimed by pool-one 1.0 and pool-two 2. "
        "Uninstall one, or block it by its distribution: --block "
    )
    assert judge(make_record("x", "pool-one"), make_record("x", "pool-two", version="2"), make_record("y")) == [
        ("clashing", reason + "pool-one"),
        ("clashing", reason + "pool-two"),
        ("active", ""),
    ]


def test_blocking_one_of_the_claimants_ends_the_clash():
    states = judge(make_record("x", "pool-one"), make_record("x", "pool-two"), block=["pool-one"])
    assert [state for state, _ in states] == ["blocked", "active"]


@pytest.mark.parametrize("other", [{"api": 2}, {"requires": ">=9"}, {"problem": "it is stale"}])
def test_only_those_that_could_load_can_clash(other):
    states = judge(make_record("x", "pool-one"), make_record("x", "pool-two", **other))
    assert states[0] == ("active", "")
    assert states[1][0] in ("incompatible", "failed")


def test_broken_metadata_is_a_failure_unless_it_is_blocked():
    record = make_record(problem="its folder is stale")
    assert judge(record) == [("failed", "its folder is stale")]
    assert judge(record, block=["x"]) == [("blocked", "blocked by --block or the recipe")]


PLUGINS = [
    Plugin(make_record("x", version="1.5"), "active"),
    Plugin(make_record("broken"), "failed", "RuntimeError: boom"),
    Plugin(make_record("bare", version=""), "active"),
]


@pytest.mark.parametrize("text", ["x", "pool-x", "Pool_X>=1", "x>=1.5,<2", "pool-x[fast]"])
def test_a_requirement_that_holds(text):
    check_required([text], PLUGINS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x>=2", "plugins.require: 'x>=2' is asked for, installed is pool-x 1.5\n  pip install -U \"x>=2\""),
        ("pool-z>=1", "plugins.require: 'pool-z>=1' is not installed\n  pip install \"pool-z>=1\""),
        ("broken", "plugins.require: 'broken' is failed: RuntimeError: boom"),
        (
            "bare>=1",
            "plugins.require: 'bare>=1' is asked for, installed is pool-bare\n  pip install -U \"bare>=1\"",
        ),
    ],
)
def test_a_requirement_that_does_not_hold(text, expected):
    with pytest.raises(PluginError) as caught:
        check_required(["x", text], PLUGINS)
    assert str(caught.value) == expected


def test_what_is_no_requirement_is_refused():
    with pytest.raises(PluginError) as caught:
        check_required(["x >> 2"], PLUGINS)
    assert str(caught.value).startswith("plugins.require: 'x >> 2' is no requirement: ")
    assert caught.value.hint == "as in pool-x>=0.2"
