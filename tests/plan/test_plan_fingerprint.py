"""Fingerprints: what changes them, what does not, and where there is none."""

from __future__ import annotations

import pytest

from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Limits, Member, PoolSpec, Recipe, Sampling
from pool_core.registry.loading import load_plugin
from pool_core.registry.records import Record
from pool_core.testing.scripted import CodeTask, EchoTask, ScriptedBackend, make_registry
from pool_core.testing.scripted_plugin import ScriptedPlugin

RELAY = {"use": "relay", "backend": {"use": "echo", "model": "x"}}
TEXT = {"use": "echo", "takes": "text"}
BASE = {"name": "a", "backend": {"use": "echo", "model": "x"}, "task": {"use": "echo"}, "when": "text == 'x'"}


def make_installed(version="1.0", *, editable=False):
    """A registry in which the plugin looks as if it were installed."""
    registry = make_registry()
    record = Record("scripted", "scripted", "pool-scripted", version, 1, editable=editable)
    registry._plugins.append(load_plugin(registry._manager, record, ScriptedPlugin()))
    return registry


def take_fingerprints(registry=None, **keys):
    """The fingerprints of requests and of parsing of the base member with ``keys`` changed."""
    pool = PoolSpec(members=(Member(**{**BASE, **keys}),), policies=(), assign="routed")
    rows = MemoryRows([{"text": "t", "other": "o", "prompt": "p"}], None)
    (member,) = make_plan(Recipe(pool=pool), registry or make_installed(), rows=rows).members
    return member.request_fingerprint, member.parse_fingerprint


#: Keys of a member that shape its requests, each with values that all differ.
SHAPING = {
    "backend": [{"use": "echo", "model": "y"}, TEXT, RELAY, {**RELAY, "backend": {"use": "echo", "model": "y"}}],
    "task": [{"use": "echo", "column": "other"}, {"use": "echo", "suffix": "!"}, "code"],
    "inputs": [{"text": "other"}],
    "prompt_format": ["lines"],
    "sampling": [
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"top_p": 0.5},
        {"top_k": 5},
        {"min_p": 0.5},
        {"max_tokens": 5},
        {"stop": ["x"]},
        {"stop": ["y"]},
        {"seed": 0},
        {"seed": 1},
        {"presence_penalty": 1},
        {"frequency_penalty": 1},
        {"extra": {"best_of": 2}},
        {"extra": {"seed": 5}},
        {"extra": {"seed": 6}},
        {"extra": {"logit_bias": {1: -100, "x": 1}}},
        {"extra": {"half": "\ud83d"}},
        {"extra": {"half": "\ud83e"}},
        {"seed": 2**70},
    ],
}
#: Keys that do not, each with another value.
KEEPING = {
    "name": "b",
    "limits": {
        "concurrency": 1,
        "max_concurrency": 9,
        "rpm": 1,
        "tpm": 1,
        "timeout": 1,
        "deadline": 1,
        "attempts": 1,
        "max_wait": 1,
        "max_stall": 1,
    },
    "reask": {"times": 2},
    "fallback": None,
    "hedge": {"share": 0.1},
    "stop_when": {"failed": 3},
    "price": {"input": 1, "output": 2},
    "outputs": {"reply": "said"},
    "drop": ["said"],
    "cast": {"said": "str?"},
    "collect": ["said"],
    "constant": {"language": "en"},
    "when": None,
    "weight": 2.0,
}


#: Limits that decide whether an answer is read, each with another value.
READING = {"task_timeout": 1, "task_memory": 100}


def test_every_key_of_a_member_is_in_one_table():
    assert SHAPING.keys() | KEEPING.keys() == Member.model_fields.keys()
    assert not SHAPING.keys() & KEEPING.keys()
    assert {name for value in SHAPING["sampling"] for name in value} == Sampling.model_fields.keys()
    assert KEEPING["limits"].keys() | READING.keys() == Limits.model_fields.keys()


def test_everything_that_shapes_requests_changes_their_fingerprint():
    found = [take_fingerprints()[0]]
    found += [take_fingerprints(**{key: value})[0] for key, values in SHAPING.items() for value in values]
    assert None not in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("key", KEEPING)
def test_nothing_else_changes_the_fingerprint_of_requests(key):
    assert take_fingerprints(**{key: KEEPING[key]})[0] == take_fingerprints()[0]


def test_the_order_of_keys_changes_nothing():
    one = {"use": "echo", "column": "other", "suffix": "!"}
    other = dict(reversed(one.items()))
    assert list(one) != list(other)
    assert take_fingerprints(task=one) == take_fingerprints(task=other)


def test_what_is_not_sent_changes_nothing():
    unable = {"use": "echo", "seed": False, "stop": False}
    one = take_fingerprints(backend=unable, sampling={"seed": 1, "stop": ["x"]})
    assert one == take_fingerprints(backend=unable)


@pytest.mark.parametrize(
    "keys",
    [
        {"outputs": {"reply": "said"}},
        {"drop": ["said"]},
        {"cast": {"said": "str?"}},
        {"cast": {"said": "int"}},
        {"collect": ["said"]},
        {"constant": {"language": "en"}},
        {"constant": {"language": "de"}},
        {"task": {"use": "echo", "suffix": "!"}},
        {"task": "code"},
        *({"limits": {name: value}} for name, value in READING.items()),
    ],
)
def test_what_shapes_the_reading_of_answers_changes_its_fingerprint(keys):
    assert take_fingerprints(**keys)[1] != take_fingerprints()[1]


@pytest.mark.parametrize("key", ["backend", "sampling", "limits", "when", "weight", "name"])
def test_nothing_else_changes_the_fingerprint_of_parsing(key):
    for value in SHAPING.get(key, [KEEPING.get(key)]):
        assert take_fingerprints(**{key: value})[1] == take_fingerprints()[1]


def test_a_new_version_of_the_parser_changes_how_answers_are_read_and_no_request(monkeypatch):
    before = take_fingerprints()
    monkeypatch.setattr(EchoTask, "parser_version", 2)
    after = take_fingerprints()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_another_version_of_a_plugin_changes_both():
    old, new = take_fingerprints(make_installed("1.0")), take_fingerprints(make_installed("1.1"))
    assert old[0] != new[0]
    assert old[1] != new[1]


def test_a_short_and_a_qualified_name_are_the_same_plugin():
    named = take_fingerprints(task="scripted/echo", backend={"use": "scripted/echo", "model": "x"})
    assert named == take_fingerprints()


@pytest.mark.parametrize(
    "registry", [make_installed(editable=True), make_installed("")], ids=["editable", "in-process"]
)
def test_code_that_can_change_under_one_version_has_no_fingerprint(registry):
    assert take_fingerprints(registry) == (None, None)


@pytest.mark.parametrize(
    ("keys", "parsing"),
    [
        ({"task": EchoTask()}, False),
        ({"task": CodeTask()}, False),
        ({"backend": ScriptedBackend(lambda request: "x")}, True),
        ({"prompt_format": lambda messages: "x"}, True),
    ],
    ids=["task", "code", "backend", "format"],
)
def test_objects_and_functions_have_no_fingerprint(keys, parsing):
    requests, parse = take_fingerprints(**keys)
    assert requests is None
    assert (parse is not None) == parsing


def test_an_inner_backend_that_can_change_takes_the_fingerprint_with_it():
    registry = make_installed()
    other = Record("other", "other", "pool-other", "1.0", 1, editable=True)
    registry._plugins.append(load_plugin(registry._manager, other, ScriptedPlugin()))
    names = {"task": {"use": "scripted/echo"}}
    fixed = {"use": "scripted/relay", "backend": {"use": "scripted/echo"}}
    loose = {"use": "scripted/relay", "backend": {"use": "other/echo"}}
    assert take_fingerprints(registry, backend=fixed, **names)[0] is not None
    assert take_fingerprints(registry, backend=loose, **names)[0] is None
