"""The JSON Schema of recipes: every plugin's configuration stands where its name does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import ClassVar

from pydantic import Field, create_model

from pool_core.api import Contribution, hookimpl
from pool_core.interfaces.config import PluginConfig
from pool_core.plan.schema import make_recipe_schema
from pool_core.testing.scripted import EchoTask, make_registry
from pool_core.testing.scripted_plugin import RefusePolicy, ScriptedPlugin


def find_choice(schema, kind, title):
    (choice,) = [choice for choice in schema["$defs"][kind]["anyOf"] if choice.get("title") == title]
    return choice


def find_references(value):
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        for item in value.values():
            yield from find_references(item)
    elif isinstance(value, list):
        for item in value:
            yield from find_references(item)


def test_every_reference_leads_somewhere(registry):
    schema, problems = make_recipe_schema(registry)
    references = set(find_references(schema))
    assert problems == []
    assert references
    for reference in references:
        value = schema
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]


def test_a_configuration_stands_beside_its_name(registry):
    schema, _ = make_recipe_schema(registry)
    choice = find_choice(schema, "task", "scripted/echo")
    assert list(choice["properties"]) == ["use", "column", "fail_on", "suffix"]
    assert choice["properties"]["use"] == {"enum": ["echo", "scripted/echo"]}
    assert choice["required"] == ["use"]
    assert choice["description"] == "Asks what a column says."
    assert choice["additionalProperties"] is False
    assert schema["$defs"]["task"]["anyOf"][0] == {
        "type": "string",
        "enum": ["code", "echo", "scripted/code", "scripted/echo"],
    }


def test_members_refer_to_the_kinds(registry):
    schema, _ = make_recipe_schema(registry)
    member = schema["$defs"]["Member"]["properties"]
    assert member["task"]["$ref"] == "#/$defs/task"
    assert member["backend"]["$ref"] == "#/$defs/backend"
    assert member["prompt_format"]["anyOf"] == [{"$ref": "#/$defs/prompt_format"}, {"type": "null"}]
    policies = schema["$defs"]["PoolSpec"]["properties"]["policies"]
    assert policies["items"] == {"$ref": "#/$defs/policy"}
    assert policies["type"] == "array"
    assert "Use" not in schema["$defs"]


def test_a_backend_inside_another_one_is_any_backend(registry):
    schema, _ = make_recipe_schema(registry)
    inner = find_choice(schema, "backend", "scripted/relay")["properties"]["backend"]
    (name,) = [reference.removeprefix("#/$defs/") for reference in find_references(inner)]
    assert schema["$defs"][name] == {"$ref": "#/$defs/backend"}


def test_files_may_be_paths_and_name_their_readers(registry):
    schema, _ = make_recipe_schema(registry)
    assert {"type": "string", "description": "The file alone."} in schema["properties"]["rows"]["anyOf"]
    assert schema["$defs"]["Rows"]["properties"]["reader"]["examples"] == ["json"]
    assert schema["$defs"]["Output"]["properties"]["writer"]["examples"] == ["json"]


def test_without_plugins_any_name_is_accepted():
    schema, problems = make_recipe_schema(make_registry())
    assert (schema["$defs"]["task"], problems) == ({}, [])


def test_names_that_two_plugins_offer_must_be_qualified(registry):
    registry.register(ScriptedPlugin(), name="other")
    schema, _ = make_recipe_schema(registry)
    assert schema["$defs"]["task"]["anyOf"][0]["enum"] == [
        "other/code",
        "other/echo",
        "scripted/code",
        "scripted/echo",
    ]


class Inner(PluginConfig):
    depth: int = 1


class NestedConfig(PluginConfig):
    inner: Inner = Field(default_factory=Inner)


class NestedTask(EchoTask):
    Config: ClassVar = NestedConfig


def put_classes(monkeypatch, **classes):
    """Make classes importable under this file's name, however the tests were imported."""
    module = ModuleType(__name__)
    vars(module).update(classes)
    monkeypatch.setitem(sys.modules, __name__, module)


def test_models_inside_configurations_do_not_get_mixed_up(registry, monkeypatch):
    other_inner = create_model("Inner", __base__=PluginConfig, width=(int, 1))
    other_config = create_model("OtherConfig", __base__=PluginConfig, inner=(other_inner, Field(other_inner())))

    policy = type("NestedPolicy", (RefusePolicy,), {"Config": other_config})
    put_classes(monkeypatch, NestedTask=NestedTask, NestedPolicy=policy)

    class Both:
        @hookimpl
        def pool_tasks(self):
            return [Contribution("nested", f"{__name__}:NestedTask")]

        @hookimpl
        def pool_policies(self):
            return [Contribution("nested", f"{__name__}:NestedPolicy")]

    registry.register(Both(), name="both")
    schema, problems = make_recipe_schema(registry)
    assert problems == []
    for kind, field in (("task", "depth"), ("policy", "width")):
        (reference,) = find_references(find_choice(schema, kind, "both/nested"))
        assert list(schema["$defs"][reference.removeprefix("#/$defs/")]["properties"]) == [field]


def test_what_cannot_be_described_is_left_out_and_told(registry, monkeypatch):
    class Strange(PluginConfig):
        call: Callable[[], int]

    strange = type("StrangeTask", (EchoTask,), {"Config": Strange})
    put_classes(monkeypatch, StrangeTask=strange)

    class Odd:
        @hookimpl
        def pool_tasks(self):
            return [Contribution("strange", f"{__name__}:StrangeTask"), Contribution("gone", f"{__name__}:Gone")]

    registry.register(Odd(), name="odd")
    schema, problems = make_recipe_schema(registry)
    assert [problem.splitlines()[0].split(": ")[0] for problem in problems] == [
        "the task odd/strange of in-process cannot be described",
        "the task odd/gone of in-process cannot be imported",
    ]
    assert find_choice(schema, "task", "scripted/echo")
    assert "strange" not in schema["$defs"]["task"]["anyOf"][0]["enum"]


def test_the_schema_says_what_it_is_of(registry):
    document, _ = make_recipe_schema(registry)
    assert document["title"] == "Recipe of pool-core"
