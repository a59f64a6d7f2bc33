"""Writes docs/reference: what models, hooks and causes say of themselves, as pages.

Run it after a change of any of them, with the first-party plugins and pyarrow installed::

    python docs/gen_reference.py

`make_core_pages` needs the core alone, `make_plugin_pages` the plugins. A test compares both with
the committed pages.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gen_cli import make_cli_page
from gen_errors import make_errors_page
from gen_findings import make_rules_page
from gen_text import NOTE, escape_cell, finish_page, read_doc
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pool_core import hookspecs
from pool_core.engine.retry import ACTIONS, Action
from pool_core.interfaces.backend import BackendSpec
from pool_core.interfaces.isolation import Isolation, Placement
from pool_core.interfaces.policy import PolicySpec
from pool_core.interfaces.values import Cause
from pool_core.recipe.models import (
    Budget,
    FindingRules,
    Hedge,
    Limits,
    Member,
    Output,
    Plugins,
    PoolSpec,
    Price,
    Reask,
    Recipe,
    Rows,
    Sampling,
    StopWhen,
)
from pool_core.recipe.uses import Use, UseBackend
from pool_core.registry import Entry, Registry
from pool_core.testing.faults import FAULTS
from pool_core.testing.message_faults import MESSAGE_FAULTS
from pool_core.testing.replies import Fault

__all__ = ["FOLDER", "NOTE", "PLUGINS", "make_core_pages", "make_plugin_pages"]

FOLDER = Path(__file__).parent / "reference"
PLUGINS = ("standard", "replay", "openai", "anthropic", "litellm", "transformers", "llamacpp", "vllm")

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The recipe", Recipe),
    ("`rows`", Rows),
    ("`output`", Output),
    ("`pool`", PoolSpec),
    ("`pool.members`", Member),
    ("`backend`", Placement),
    ("`isolate`", Isolation),
    ("`pool.findings`", FindingRules),
    ("`sampling`", Sampling),
    ("`limits`", Limits),
    ("`reask`", Reask),
    ("`hedge`", Hedge),
    ("`stop_when`", StopWhen),
    ("`price`", Price),
    ("`budget`", Budget),
    ("`plugins`", Plugins),
)
#: Where a type of the recipe is explained: the section's anchor.
_ANCHORS: dict[type[Any], str] = {
    Rows: "[mapping](#rows), or the path alone",
    Output: "[mapping](#output), or the path alone",
    PoolSpec: "[mapping](#pool)",
    Member: "[mapping](#poolmembers)",
    FindingRules: "[mapping](#poolfindings)",
    Sampling: "[mapping](#sampling)",
    Limits: "[mapping](#limits)",
    Reask: "[mapping](#reask)",
    Hedge: "[mapping](#hedge)",
    StopWhen: "[mapping](#stop_when)",
    Price: "[mapping](#price)",
    Budget: "[mapping](#budget)",
    Cause: "[cause](causes.md)",
    Plugins: "[mapping](#plugins)",
    Use: "name, or `{use: name, ...}`",
    UseBackend: "name, or [`{use: name, ...}`](#backend)",
    Isolation: "[mapping](#isolate)",
    BackendSpec: "`{use: name, ...}`",
    PolicySpec: "name, or `{use: name, ...}`",
    type[BaseModel]: "`package.module:Class`",
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    dict: "mapping",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_KINDS = {
    "task": "Tasks",
    "backend": "Backends",
    "policy": "Policies",
    "prompt_format": "Prompt formats",
    "reader": "Readers",
    "writer": "Writers",
}
_ACTION_WORDS = {
    Action.RETRY: "waits and asks again, up to `limits: {attempts: ...}` requests",
    Action.WAIT: "pauses the quota as long as the server asks and asks again, within `limits: {max_wait: ...}`",
    Action.REASK: "keeps the answer; asks again as far as `reask:` allows, once where the answer is empty",
    Action.FAIL: "the cell fails",
    Action.STOP_MEMBER: "the cell fails and the member is stopped; the other members go on",
}


def make_core_pages() -> dict[str, str]:
    """The pages on what the core defines, by file name."""
    pages = {"recipe.md": _make_recipe(), "hooks.md": _make_hooks(), "causes.md": _make_causes()}
    more = {"cli.md": finish_page(make_cli_page()), "errors.md": finish_page(make_errors_page())}
    more |= {"rules.md": finish_page(make_rules_page()), "conformance.md": _make_conformance()}
    return pages | more | {"faults.md": _make_faults()}


def make_plugin_pages() -> dict[str, str]:
    """One page on the configurations of each first-party plugin, by file name."""
    from gen_openai import make_openai_tables  # noqa: PLC0415 - needs the plugin

    registry = Registry.discover()
    more = {"openai": make_openai_tables(), "anthropic": _make_anthropic_tables(), "litellm": _make_litellm_tables()}
    return {f"plugin-{name}.md": _make_plugin(registry, name, more.get(name, [])) for name in PLUGINS}


def _make_recipe() -> str:
    lines = [
        "# Reference: the recipe",
        "",
        "Every key of a recipe. [The recipe](../how-to/recipe.md) explains how they work together. Unknown keys are",
        "refused. The configuration that stands beside a `use:` is the plugin's own:",
        *(f"[{name}](plugin-{name}.md)," for name in PLUGINS[:-1]),
        f"[{PLUGINS[-1]}](plugin-{PLUGINS[-1]}.md).",
    ]
    for title, model in _SECTIONS:
        lines += ["", f"## {title}", "", read_doc(model), "", *_make_table(model)]
    return finish_page(lines)


def _make_hooks() -> str:
    lines = [
        "# Reference: hooks",
        "",
        "What the entry module of a plugin may implement, marked with `pool_core.api.hookimpl`. All are ordinary",
        "functions, never `async`, and all are optional. An implementation takes as many of the arguments as it needs.",
        "[Writing a plugin](../how-to/plugins.md) shows them at work.",
    ]
    for name, hook in vars(hookspecs).items():
        if not name.startswith("pool_"):
            continue
        arguments = list(inspect.signature(hook).parameters.values())
        returns = inspect.signature(hook).return_annotation
        listed = ", ".join(f"{argument.name}: {argument.annotation}" for argument in arguments)
        lines += ["", f"## `{name}`", "", f"`{name}({listed}) -> {returns}`", "", read_doc(hook)]
    lines += ["", "## Payloads", ""]
    lines += ["What the notifying hooks are given. All are read-only."]
    from pool_core.engine import events  # noqa: PLC0415 - the only page that needs the engine

    for payload in (events.RunStarted, events.CellFinished, events.RunFinished):
        lines += ["", f"### `{payload.__name__}`", "", read_doc(payload), "", "| field | type |", "|---|---|"]
        lines += [f"| `{name}` | `{annotation}` |" for name, annotation in inspect.get_annotations(payload).items()]
    return finish_page(lines)


def _make_causes() -> str:
    comments = _read_comments(Cause)
    lines = [
        "# Reference: causes",
        "",
        "Why a cell failed, as outputs and reports name it in `cause`. The cause alone decides what the engine does;",
        "nothing looks at a message's text. A failed cell stays in the output with null fields, so lists never shift.",
        "",
        "| cause | meaning | what the engine does |",
        "|---|---|---|",
        *(f"| `{cause}` | {comments[cause.name]} | {_ACTION_WORDS[ACTIONS[cause]]} |" for cause in Cause),
        "",
        "A try that fails in passing is followed by a wait: random, and up to 30 seconds as the tries go on. A wait",
        "that the server names is the least.",
        "",
        "What the same command does with a failed cell when it runs again:",
        "",
        "- It holds no answer (the call failed): it is asked again.",
        "- It holds an answer (a refusal, or one that could not be read): the outcome stands. When the member's task,",
        "  its parser or its `outputs:` have changed, the stored answer is read again. Only when what would be sent",
        "  has changed is it asked again.",
        "",
        "`budget` and `cancelled` are reserved: nothing gives them yet.",
    ]
    return finish_page(lines)


def _make_faults() -> str:
    lines = [
        "# Reference: faults",
        "",
        "What the server of `pool_core.testing` can do to a backend, by name: `FAULTS` of `pool_core.testing.faults`.",
        "[Testing a plugin](../how-to/testing.md) shows how to fire them. Where no cause is given, the reply is an",
        "answer: what it is worth is for the pool to say.",
        "",
        "| fault | what the server does | cause | a backend says as well |",
        "|---|---|---|---|",
    ]
    lines += map(_write_fault, FAULTS.values())
    lines += [
        "",
        "## Of Anthropic's Messages API",
        "",
        "`MESSAGE_FAULTS` of `pool_core.testing.message_faults`: these, and those of connections and bytes above.",
        "",
        "| fault | what the server does | cause | a backend says as well |",
        "|---|---|---|---|",
        *(_write_fault(fault) for name, fault in MESSAGE_FAULTS.items() if fault is not FAULTS.get(name)),
    ]
    return finish_page(lines)


def _write_fault(fault: Fault) -> str:
    more = [
        "" if fault.retry_after is None else f"`retry_after={fault.retry_after:g}`",
        "" if fault.pause is None else f"`pause({fault.pause:g})`",
        "`stops_member`" if fault.stops_member else "",
        "`maybe_billed`" if fault.maybe_billed else "",
    ]
    cause = f"`{fault.cause}`" if fault.cause else ""
    return f"| `{fault.name}` | {fault.what} | {cause} | {', '.join(filter(None, more))} |"


def _make_conformance() -> str:
    from pool_core.testing.conformance.declared import Supports  # noqa: PLC0415 - the kit needs pytest
    from pool_core.testing.conformance.installed import KITS  # noqa: PLC0415
    from pool_core.testing.conformance.listing import list_checks  # noqa: PLC0415

    checks = list(list_checks())
    lines = [
        "# Reference: the conformance kit",
        "",
        f"The {len(checks)} checks of the classes in `pool_core.testing`.",
        "[Testing a plugin](../how-to/testing.md) shows how to use them.",
        "The name of a check is that of its test without `test_`: `pytest -k parse_takes_any_text`.",
        "Checks are added in minor versions, and are never renamed.",
    ]
    for kind, title in {"every": "Every plugin", **{kind: f"`{kit.__name__}`" for kind, kit in KITS.items()}}.items():
        lines += ["", f"## {title}", "", "| check | what it makes sure of |", "|---|---|"]
        lines += [f"| `{check.name}` | {check.what} |" for check in checks if check.kind == kind]
    found = re.findall(r"((?:    #: .+\n)+)    (\w+): bool", inspect.getsource(Supports))
    comments = {name: " ".join(re.findall(r"#: (.+)", text)) for text, name in found}
    lines += [
        "",
        "## Supports",
        "",
        "What a class declares, True or False.",
        "",
        "| name | asked by | meaning |",
        "|---|---|---|",
    ]
    for name in Supports.__slots__:
        asked = ", ".join(kind for kind, kit in KITS.items() if name in kit.asked)
        lines += [f"| `{name}` | {asked} | {comments[name]} |"]
    return finish_page(lines)


def _make_plugin(registry: Registry, name: str, more: list[str]) -> str:
    lines = [
        f"# Reference: pool-{name}",
        "",
        f"What the plugin `{name}` offers to recipes, and the configuration of each. The short name works while no",
        f"other installed plugin offers the same; `{name}/...` always does.",
    ]
    for kind, title in _KINDS.items():
        entries = [entry for entry in registry.entries(kind) if entry.record.name == name]  # type: ignore[arg-type]
        if entries:
            lines += ["", f"## {title}"]
        for entry in entries:
            lines += ["", *_make_entry(registry, entry)]
    return finish_page([*lines, *more])


def _make_anthropic_tables() -> list[str]:
    """Why a model stopped, in the words of the backend ``anthropic``."""
    from pool_anthropic.replies import STOP_REASONS  # noqa: PLC0415 - a plugin

    return [
        "",
        "## What goes wrong, and what it means",
        "",
        "The tables of [pool-openai](plugin-openai.md#what-goes-wrong-and-what-it-means) hold here too: they know the",
        "types of Anthropic's errors, and are the core's. [Faults](faults.md) has those of this API by name.",
        "",
        "| the server says | finish_reason |",
        "|---|---|",
        *(f"| `{theirs}` | `{ours}` |" for theirs, ours in STOP_REASONS.items()),
    ]


def _make_litellm_tables() -> list[str]:
    """What the exceptions of LiteLLM mean to the backend ``litellm``."""
    from pool_litellm.causes import CLASSES  # noqa: PLC0415 - a plugin

    return [
        "",
        "## What goes wrong, and what it means",
        "",
        "The first class of an exception that stands here decides, those that it derives from included. A code of the",
        "provider's that [pool-openai](plugin-openai.md#codes-and-types-of-providers-errors) knows comes before it.",
        "Where a class says no more than that a request was refused, or is `APIError`, the status decides. An",
        "`InternalServerError` that came of a broken connection is `transport`, of an unreadable reply `bad_reply`.",
        "",
        "| class | cause |",
        "|---|---|",
        *(
            f"| `{name}` | `{verdict.cause}`{', and the member is stopped' if verdict.stops_member else ''} |"
            for name, verdict in CLASSES.items()
        ),
    ]


def _make_entry(registry: Registry, entry: Entry) -> Iterator[str]:
    # the engines that plugins need are not: nothing of them is imported before a backend is open
    factory = registry.load(replace(entry, contribution=replace(entry.contribution, needs=())))
    yield f"### {entry.kind.replace('_', ' ')} `{entry.name}`"
    yield ""
    yield read_doc(factory)
    if entry.contribution.suffixes:
        yield f"\nFor files that end in {', '.join(f'`{suffix}`' for suffix in entry.contribution.suffixes)}."
    if entry.contribution.install:
        yield f'Needs `pip install "{entry.contribution.install}"`.'
    yield ""
    yield from _make_table(factory.Config) if factory.Config.model_fields else ["It has no options."]
    output = getattr(factory, "Output", None)
    if output is not None:
        yield "\nOutput fields:\n"
        yield from _make_table(output, with_default=False)


def _make_table(model: type[BaseModel], *, with_default: bool = True) -> list[str]:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"] if with_default else []
    lines = lines or ["| field | type | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = [f"`{name}`", _describe_type(field), *([_describe_default(field)] if with_default else [])]
        meaning = field.description or _describe_by_model(field.annotation)
        lines.append("| " + " | ".join(escape_cell(cell) for cell in [*cells, meaning]) + " |")
    return lines


def _describe_by_model(annotation: Any) -> str:
    """The first line of the documentation of the model that a field without a description holds."""
    model = _find_model(annotation)
    if model is None:
        raise ValueError(f"neither a description nor a model says what {annotation} means")
    return read_doc(model).splitlines()[0]


def _find_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_find_model(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _describe_type(field: FieldInfo) -> str:
    words = _name_type(field.annotation)
    bounds = [f"{_BOUNDS[key]} {value:g}" for key, value in _read_bounds(field.metadata)]
    return ", ".join([words, *bounds])


def _read_bounds(metadata: Iterable[Any]) -> Iterator[tuple[str, float]]:
    for item in metadata:
        for key in _BOUNDS:
            value = getattr(item, key, None)
            if isinstance(value, int | float):
                yield key, value


def _name_type(annotation: Any) -> str:
    """An annotation in the words of a recipe."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _ANCHORS:
        return _ANCHORS[annotation]
    if origin is Annotated:
        bounds = [f"{_BOUNDS[key]} {value:g}" for item in arguments[1:] for key, value in _read_field_bounds(item)]
        return ", ".join([_name_type(arguments[0]), *bounds])
    if origin in (Union, types.UnionType):
        return " or ".join(_name_type(argument) for argument in arguments if argument is not type(None))
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in (list, tuple):
        return f"list of: {_name_type(arguments[0])}"
    if origin is dict:
        return "mapping" if arguments[1] is Any else f"mapping of names to {_name_type(arguments[1])}"
    raise ValueError(f"there are no words for the type {annotation}")


def _read_field_bounds(item: Any) -> Iterator[tuple[str, float]]:
    return _read_bounds(item.metadata if isinstance(item, FieldInfo) else [item])


def _describe_default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.default
    if default is PydanticUndefined:
        default = field.default_factory()  # type: ignore[misc,call-arg]
    plain = _make_plain(default)
    return "" if plain in (None, [], {}, "") else f"`{plain if isinstance(plain, str) else _write_flow(plain)}`"


def _make_plain(value: Any) -> Any:
    if isinstance(value, Use):
        return value.use
    if isinstance(value, BaseModel):
        return {name: item for name, item in value.model_dump(mode="json", exclude_defaults=True).items() if item}
    return [_make_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _write_flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return json.dumps(value)


def _read_comments(enum: type[Enum]) -> dict[str, str]:
    """The ``#:`` comment of each member of ``enum``."""
    return dict(re.findall(r"^    (\w+) = .*?#: (.+)$", inspect.getsource(enum), re.MULTILINE))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in {**make_core_pages(), **make_plugin_pages()}.items():
        (FOLDER / name).write_text(page, encoding="utf-8")
        print(FOLDER / name)
