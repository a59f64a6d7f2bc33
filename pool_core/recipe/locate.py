"""Turning validation errors into places and words that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pool_core.errors import RecipeError
from pool_core.recipe.yaml_source import KeyPath, Source

__all__ = ["explain_errors", "locate", "write_path"]

#: Errors that one message tells.
MOST_ERRORS = 20

#: Pydantic's words for what a person sees more plainly.
_WORDS = {
    "missing": "this key is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "path_type": "must be a path",
    "string_pattern_mismatch": "must start with a letter or digit and hold only letters, digits and . _ - (64 at most)",
}


def write_path(path: Sequence[str | int]) -> str:
    """``('pool', 'members', 0, 'task')`` as ``pool.members[0].task``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def locate(source: Source | None, path: KeyPath) -> str:
    """``recipe.yaml:12: pool.members[0].task``, or the path alone for a recipe made in Python."""
    return ": ".join(part for part in (source.locate(path) if source else "", write_path(path)) if part)


def explain_errors(
    error: ValidationError, model: type[BaseModel], source: Source | None, prefix: KeyPath = ()
) -> RecipeError:
    """All errors of a validation as one `RecipeError`, each with its place, in the order of the file."""
    found = [((*prefix, *item["loc"]), item) for item in error.errors(include_url=False, include_input=False)]
    found.sort(key=lambda pair: _find_line(source, pair[0]))
    texts = []
    for path, item in found[:MOST_ERRORS]:
        place = locate(source, path)
        texts.append(f"{place}: {_describe(item, model)}" if place else _describe(item, model))
    if len(found) == 1:
        return RecipeError(texts[0])
    more = [f"and {len(found) - MOST_ERRORS:,} more"] if len(found) > MOST_ERRORS else []
    return RecipeError("\n  ".join([f"{len(found):,} things are wrong", *texts, *more]))


def _find_line(source: Source | None, path: KeyPath) -> int:
    return 0 if source is None else source.find_line(path)


def _describe(item: Any, model: type[BaseModel]) -> str:
    kind, location = item["type"], item["loc"]
    if kind == "extra_forbidden":
        known = _list_known_keys(model, location[:-1])
        close = get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
        if close:
            return f"unknown key; did you mean {close[0]!r}?"
        return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"
    context = item.get("ctx") or {}  # a plugin may keep values out of its errors, and the context with them
    if kind == "value_error":
        return str(context.get("error") or item["msg"].removeprefix("Value error, "))
    if kind == "literal_error" and "expected" in context:
        return f"must be {context['expected']}"
    return _WORDS.get(kind) or item["msg"][:1].lower() + item["msg"][1:]


def _list_known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that may stand at ``location`` in data for ``model``."""
    current: Any = model
    for part in location:
        holder = _find_model(current)
        if isinstance(part, int) or get_origin(current) in (dict, Mapping):
            current = holder
        elif holder is not None and part in holder.model_fields:
            current = holder.model_fields[part].annotation
        else:
            return []
    holder = _find_model(current)
    return [] if holder is None else sorted(holder.model_fields)


def _find_model(annotation: Any) -> Any:
    """The model inside an annotation such as ``tuple[Annotated[Model, ...], ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_find_model(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
