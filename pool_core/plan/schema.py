"""The JSON Schema of recipes: the models' own, with every installed plugin's configuration in it."""

from __future__ import annotations

from typing import Any

from pool_core.errors import PluginError
from pool_core.interfaces.backend import BackendSpec
from pool_core.interfaces.isolation import Placement
from pool_core.recipe.models import Recipe
from pool_core.recipe.uses import UseBackend
from pool_core.registry import Entry, Kind, Registry

__all__ = ["make_recipe_schema"]

#: Where each kind of name stands: (definition, property, whether a list of them).
_PLACES: list[tuple[Kind, str, str]] = [
    ("backend", "Member", "backend"),
    ("task", "Member", "task"),
    ("prompt_format", "Member", "prompt_format"),
    ("policy", "PoolSpec", "policies"),
]


def make_recipe_schema(registry: Registry) -> tuple[dict[str, Any], list[str]]:
    """The schema, and what had to be left out because it cannot be imported or described."""
    document = Recipe.model_json_schema()
    definitions = document["$defs"]
    for name in ("Use", UseBackend.__name__):
        definitions.pop(name, None)
    problems: list[str] = []
    for kind, model, name in _PLACES:
        definitions[kind] = _describe_kind(registry, kind, definitions, problems)
        field = definitions[model]["properties"][name]
        reference = {"$ref": f"#/$defs/{kind}"}
        description = {"description": field["description"]} if "description" in field else {}
        place: dict[str, Any] = reference
        if field.get("type") == "array":
            place = {"type": "array", "items": reference}
        elif "anyOf" in field:
            place = {"anyOf": [reference, {"type": "null"}]}
        definitions[model]["properties"][name] = {**place, **description}
    files: list[tuple[str, Kind]] = [("Rows", "reader"), ("Output", "writer")]
    for model, kind in files:
        names = sorted(entry.name for entry in registry.entries(kind))
        definitions[model]["properties"][kind]["examples"] = names
    for name in ("rows", "output"):
        field = document["properties"][name]
        field["anyOf"].append({"type": "string", "description": "The file alone."})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document,
        "title": "Recipe of pool-core",
    }, problems


def _describe_kind(registry: Registry, kind: Kind, definitions: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Either the name alone, or ``use`` with the configuration of the class that it names."""
    entries = registry.entries(kind)
    short = [entry.name for entry in entries]
    choices: list[dict[str, Any]] = []
    for entry in entries:
        names = [entry.qualified] if short.count(entry.name) > 1 else [entry.name, entry.qualified]
        try:
            choices.append(_describe_entry(registry, entry, names, definitions))
        except PluginError as error:
            problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - one strange configuration costs no other plugin its place
            label = f"the {kind.replace('_', ' ')} {entry.qualified} of {entry.record}"
            problems.append(f"{label} cannot be described: {type(error).__name__}: {error}")
    names = sorted({name for choice in choices for name in choice["properties"]["use"]["enum"]})
    return {"anyOf": [{"type": "string", "enum": names}, *choices]} if choices else {}


def _describe_entry(registry: Registry, entry: Entry, names: list[str], definitions: dict[str, Any]) -> dict[str, Any]:
    config = registry.load(entry).Config
    prefix = f"{entry.kind}.{entry.record.name}.{entry.name}."
    schema: dict[str, Any] = config.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        nested = name == BackendSpec.__name__
        definitions[prefix + name] = {"$ref": "#/$defs/backend"} if nested else definition
    schema["title"] = entry.qualified
    schema["description"] = entry.contribution.summary
    shared = _describe_placement(definitions) if entry.kind == "backend" else {}
    schema["properties"] = {"use": {"enum": names}, **shared, **schema.get("properties", {})}
    schema["required"] = ["use", *schema.get("required", [])]
    return schema


def _describe_placement(definitions: dict[str, Any]) -> dict[str, Any]:
    """The keys that every backend has beside its own configuration."""
    schema = Placement.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    return dict(schema["properties"])
