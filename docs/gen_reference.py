"""Writes docs/reference: what models, hooks and causes say of themselves, as pages.

Run it after a change of any of them, with the first-party plugins and pyarrow installed::

    python docs/gen_reference.py

`make_core_pages` needs the core alone, `make_plugin_pages` the plugins. A test compares both with
the committed pages.
"""

from __future__ import annotations

import html
import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

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
    Use,
    UseBackend,
)
from pool_core.registry import Entry, Registry
from pool_core.testing.faults import FAULTS

FOLDER = Path(__file__).parent / "reference"
PLUGINS = ("standard", "replay", "openai", "transformers", "llamacpp", "vllm")

_NOTE = "<!-- Made by docs/gen_reference.py. Change the code that it reads, then run it again. -->"
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
    return pages | {"faults.md": _make_faults()}


def make_plugin_pages() -> dict[str, str]:
    """One page on the configurations of each first-party plugin, by file name."""
    registry = Registry.discover()
    more = {"openai": _make_openai_tables()}
    return {f"plugin-{name}.md": _make_plugin(registry, name, more.get(name, [])) for name in PLUGINS}


def _make_recipe() -> str:
    lines = [
        "# Reference: the recipe",
        "",
        "Every key of a recipe. [The recipe](../recipe.md) explains how they work together. Unknown keys are refused.",
        "The configuration that stands beside a `use:` is the plugin's own: [standard](plugin-standard.md),",
        "[replay](plugin-replay.md), [openai](plugin-openai.md), [transformers](plugin-transformers.md),",
        "[llamacpp](plugin-llamacpp.md), [vllm](plugin-vllm.md).",
    ]
    for title, model in _SECTIONS:
        lines += ["", f"## {title}", "", _read_doc(model), "", *_make_table(model)]
    return _finish(lines)


def _make_hooks() -> str:
    lines = [
        "# Reference: hooks",
        "",
        "What the entry module of a plugin may implement, marked with `pool_core.api.hookimpl`. All are ordinary",
        "functions, never `async`, and all are optional. An implementation takes as many of the arguments as it needs.",
        "[Writing a plugin](../plugins.md) shows them at work.",
    ]
    for name, hook in vars(hookspecs).items():
        if not name.startswith("pool_"):
            continue
        arguments = list(inspect.signature(hook).parameters.values())
        returns = inspect.signature(hook).return_annotation
        listed = ", ".join(f"{argument.name}: {argument.annotation}" for argument in arguments)
        lines += ["", f"## `{name}`", "", f"```text\n{name}({listed}) -> {returns}\n```", "", _read_doc(hook)]
    lines += ["", "## Payloads", ""]
    lines += ["What the notifying hooks are given. All are read-only."]
    from pool_core.engine import events  # noqa: PLC0415 - the only page that needs the engine

    for payload in (events.RunStarted, events.CellFinished, events.RunFinished):
        lines += ["", f"### `{payload.__name__}`", "", _read_doc(payload), "", "| field | type |", "|---|---|"]
        lines += [f"| `{name}` | `{annotation}` |" for name, annotation in inspect.get_annotations(payload).items()]
    return _finish(lines)


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
    return _finish(lines)


def _make_faults() -> str:
    lines = [
        "# Reference: faults",
        "",
        "What the server of `pool_core.testing` can do to a backend, by name: `FAULTS` of `pool_core.testing.faults`.",
        "[Testing a plugin](../testing.md) shows how to fire them. Where no cause is given, the reply is an answer:",
        "what it is worth is for the pool to say.",
        "",
        "| fault | what the server does | cause | a backend says as well |",
        "|---|---|---|---|",
    ]
    for fault in FAULTS.values():
        more = [
            "" if fault.retry_after is None else f"`retry_after={fault.retry_after:g}`",
            "" if fault.pause is None else f"`pause({fault.pause:g})`",
            "`stops_member`" if fault.stops_member else "",
            "`maybe_billed`" if fault.maybe_billed else "",
        ]
        cause = f"`{fault.cause}`" if fault.cause else ""
        lines += [f"| `{fault.name}` | {fault.what} | {cause} | {', '.join(filter(None, more))} |"]
    return _finish(lines)


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
    return _finish([*lines, *more])


def _make_openai_tables() -> list[str]:
    """What each reply and each broken call means to the backend ``openai``."""
    from pool_openai.breakages import BREAKAGES  # noqa: PLC0415 - a plugin
    from pool_openai.causes import CODES, FINISH_REASONS, PHRASES, STATUSES, Verdict  # noqa: PLC0415 - a plugin

    def write(verdict: Verdict) -> str:
        return f"`{verdict.cause}`" + (", and the member is stopped" if verdict.stops_member else "")

    statuses = [("3xx", Verdict(Cause.BAD_REQUEST, stops_member=True)), *STATUSES.items()]
    statuses += [("other 4xx", Verdict(Cause.BAD_REQUEST)), ("other 5xx", Verdict(Cause.SERVER))]
    codes: dict[Verdict, list[str]] = {}
    for code, verdict in CODES.items():
        codes.setdefault(verdict, []).append(f"`{code}`")
    reasons: dict[str, list[str]] = {}
    for theirs, ours in FINISH_REASONS.items():
        reasons.setdefault(ours, []).append(f"`{theirs}`")
    return [
        "",
        "## What goes wrong, and what it means",
        "",
        "[Causes](causes.md) says what the engine does with each cause. *May be billed* means that the server has",
        "worked on the call, though no answer came: it is sent again once at most.",
        "",
        "### Statuses",
        "",
        "| status | cause |",
        "|---|---|",
        *(f"| {status} | {write(verdict)} |" for status, verdict in statuses),
        "",
        "A 400 or 422 that names a field of the request other than the prompt and the seed (`param`, or `loc`) stops",
        "the member: that field is sent with every row. Redirects are never followed.",
        "",
        "### Codes and types of providers' errors",
        "",
        "They know better than the status; only a 413 is always `context_length`. They count as well where a reply",
        "with status 200 holds an error. Such an error without a known code has the cause of the status that it",
        "names, else `server`.",
        "",
        "| codes | cause |",
        "|---|---|",
        *(f"| {', '.join(words)} | {write(verdict)} |" for verdict, words in codes.items()),
        "",
        "Some servers only say it in the message of a 400 or 422:",
        "",
        "| message | said by | cause |",
        "|---|---|---|",
        *(f"| <code>{html.escape(text)}</code> | {who} | {write(row)} |" for text, (row, who) in PHRASES.items()),
        "",
        "### Connections, and replies that cannot be read",
        "",
        "| what happens | cause | may be billed |",
        "|---|---|---|",
        *(
            f"| {row.when} | {write(Verdict(row.cause, row.stops_member))} | {'yes' if row.maybe_billed else ''} |"
            for row in BREAKAGES
        ),
        "| the reply has not begun within `first_byte_timeout` | `timeout` | yes |",
        "| the reply is not JSON: cut off, invalid UTF-8, a web page, empty, too deep | `bad_reply` | yes |",
        "| the reply has no choices | `bad_reply` | yes |",
        "| the reply has more than `max_answer_bytes` | `bad_request` | yes |",
        "",
        "### Waits",
        "",
        "`retry-after-ms` comes first, then `Retry-After` in seconds or as a date, held against the reply's own",
        "`Date`. What is negative, not finite, no number or there twice says nothing. Where",
        "`x-ratelimit-remaining-requests` or `-tokens` is 0, the time in `x-ratelimit-reset-*` (`6m0s`, `1s`, `20ms`)",
        "pauses the quota before the next request is refused.",
        "",
        "### Answers",
        "",
        "Why the model stopped has one word, whatever the server's is. One that is not known is kept, and logged",
        "once.",
        "",
        "| the server says | finish_reason |",
        "|---|---|",
        *(f"| {', '.join(words)} | `{ours}` |" for ours, words in reasons.items()),
        "",
        "Of several choices the first of the lowest index is taken. Usage that is missing, negative or no number is",
        "not known, and never 0. Refusal, reasoning and tool calls are kept beside the text; content in parts is",
        "joined. `NaN`, `Infinity` and numbers of thousands of digits are read as null: beside an answer they are no",
        "reason to lose it.",
    ]


def _make_entry(registry: Registry, entry: Entry) -> Iterator[str]:
    # the engines that plugins need are not: nothing of them is imported before a backend is open
    factory = registry.load(replace(entry, contribution=replace(entry.contribution, needs=())))
    yield f"### {entry.kind.replace('_', ' ')} `{entry.name}`"
    yield ""
    yield _read_doc(factory)
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
        lines.append("| " + " | ".join(_escape(cell) for cell in [*cells, meaning]) + " |")
    return lines


def _describe_by_model(annotation: Any) -> str:
    """The first line of the documentation of the model that a field without a description holds."""
    model = _find_model(annotation)
    if model is None:
        raise ValueError(f"neither a description nor a model says what {annotation} means")
    return _read_doc(model).splitlines()[0]


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


def _read_doc(thing: Any) -> str:
    """A docstring as Markdown."""
    text = inspect.cleandoc(thing.__doc__ or "").split("\n::")[0].rstrip()
    return re.sub(r"``(.+?)``", r"`\1`", text)


def _read_comments(enum: type[Enum]) -> dict[str, str]:
    """The ``#:`` comment of each member of ``enum``."""
    return dict(re.findall(r"^    (\w+) = .*?#: (.+)$", inspect.getsource(enum), re.MULTILINE))


def _escape(cell: str) -> str:
    """A cell without what would end it: a bar is an entity, which code spans do not know."""
    spans = re.sub(r"`([^`]*\|[^`]*)`", lambda span: f"<code>{html.escape(span[1])}</code>", cell)
    return spans.replace("|", "&#124;").replace("\n", " ")


def _finish(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{_NOTE}\n\n{text}\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in {**make_core_pages(), **make_plugin_pages()}.items():
        (FOLDER / name).write_text(page, encoding="utf-8")
        print(FOLDER / name)
