"""The tables of docs/reference/keys.md: complete, and what they say of each setting is so."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pool_core.interfaces.isolation import Isolation, Placement
from pool_core.plan.build import make_plan
from pool_core.plan.cells import collect_sampling, compute_key, make_prompt
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Limits, Member, PoolSpec, Recipe, Sampling
from pool_core.registry import Registry
from pool_core.registry.records import HOOKS

FIRST_PARTY = ("standard", "replay", "openai", "anthropic", "litellm", "transformers", "llamacpp", "vllm")

pytestmark = pytest.mark.plugins(*FIRST_PARTY)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "keys.md"
ROW = {
    "instruction": "say",
    "more": "more",
    "messages": [{"role": "user", "content": "a"}],
    "turns": [{"role": "user", "content": "b"}],
}
TEXT = {"prompt_format": "chatml"}
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
SIMULATE = {"use": "replay/simulate"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
STRUCTURED = {"use": "standard/structured-generation", "json_schema": SCHEMA}
OUTPUT_CLASS = "pool_standard.tasks.text_generation:TextGenerationOutput"
OPENAI = {"use": "openai/openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}

OPENAI_VALUES = {
    "model": "n",
    "base_url": "http://127.0.0.1:2/v1",
    "api": ("completions", TEXT),
    "json_schema": False,
    "api_key": "env:OTHER",
    "key_header": "api-key",
    "organization": "we",
    "headers": {"x-tier": "2"},
    "extra": {"top_k": 3},
    "connect_timeout": 1,
    "first_byte_timeout": 9,
    "max_answer_bytes": 99,
    "trust_env": True,
    "ca_file": "/nowhere.pem",
}

#: Of each plugin: the member that has it, where in it the settings stand, and another value of each. A value that
#: is a pair brings other keys of the member along, without which the recipe would not be valid.
CASES = {
    "standard/text-generation": (
        {"task": {"use": "standard/text-generation"}},
        "task",
        {"system_prompt": "Be brief.", "template": "{{ more }}", "accept_truncated": True},
    ),
    "standard/chat": (
        {"task": {"use": "standard/chat"}},
        "task",
        {"column": "turns", "system_prompt": "Be brief.", "accept_truncated": True},
    ),
    "standard/code-generation": (
        {"task": {"use": "standard/code-generation"}},
        "task",
        {
            "language": "rust",
            "system_prompt": "Code.",
            "template": "{{ more }}",
            "extract": "all",
            "without_block": "fail",
            "accept_truncated": True,
        },
    ),
    "standard/structured-generation": (
        {"task": STRUCTURED},
        "task",
        {
            "json_schema": {"type": "object", "properties": {"b": {"type": "string"}}},
            "output_class": (OUTPUT_CLASS, {"task": {"use": STRUCTURED["use"], "output_class": OUTPUT_CLASS}}),
            "system_prompt": "Be brief.",
            "template": "{{ more }}",
            "repair": False,
        },
    ),
    "standard/template": (
        {"backend": {**SIMULATE, "takes": "text"}, "prompt_format": {"use": "standard/template", "template": TEMPLATE}},
        "prompt_format",
        {"template": f"x{TEMPLATE}", "bos_token": "<s>", "eos_token": "</s>", "stop": ["</s>"]},
    ),
    "openai/openai": ({"backend": OPENAI, "task": STRUCTURED}, "backend", OPENAI_VALUES),
    "openai/openai-batch": (
        {"backend": {**OPENAI, "use": "openai/openai-batch"}, "task": STRUCTURED},
        "backend",
        {**OPENAI_VALUES, "batch_size": 9, "idle": 1, "poll": 1},
    ),
    "anthropic/anthropic": (
        {"backend": {"use": "anthropic/anthropic", "model": "m", "base_url": "http://127.0.0.1:1"}},
        "backend",
        {
            "model": "n",
            "base_url": "http://127.0.0.1:2",
            "api_key": "env:OTHER",
            "key_header": "authorization",
            "version": "2026-10-21",
            "betas": ["x"],
            "max_tokens": 9,
            "headers": {"x-tier": "2"},
            "extra": {"thinking": {"type": "adaptive"}},
            "connect_timeout": 1,
            "first_byte_timeout": 9,
            "max_answer_bytes": 99,
            "trust_env": True,
            "ca_file": "/nowhere.pem",
        },
    ),
    "litellm/litellm": (
        {"backend": {"use": "litellm/litellm", "model": "p/m"}, "task": STRUCTURED},
        "backend",
        {
            "model": "p/n",
            "api_base": "http://127.0.0.1:2/v1",
            "api_version": "2",
            "api_key": "env:OTHER",
            "json_schema": True,
            "extra": {"top_k": 3},
        },
    ),
    "replay/replay": (
        {"backend": {"use": "replay/replay", "model": "m", "path": "one.jsonl"}, "task": STRUCTURED},
        "backend",
        {
            "model": "n",
            "path": "two.jsonl",
            "match": "user",
            "takes": ("text", TEXT),
            "json_schema": False,
            "latency": 1,
        },
    ),
    "replay/record": (
        {"backend": {"use": "replay/record", "path": "made.jsonl", "backend": SIMULATE}},
        "backend",
        {"path": "other.jsonl", "backend": {**SIMULATE, "seed": 1}},
    ),
    "transformers/transformers": (
        {"backend": {"use": "transformers/transformers", "model": "m"}},
        "backend",
        {
            "model": "n",
            "name": "other",
            "revision": "r",
            "takes": ("text", TEXT),
            "dtype": "float16",
            "device_map": "auto",
            "batch_size": 1,
            "max_wait_ms": 1,
            "max_tokens": 9,
            "trust_remote_code": True,
        },
    ),
    "vllm/vllm": (
        {"backend": {"use": "vllm/vllm", "model": "m"}},
        "backend",
        {
            "model": "n",
            "name": "other",
            "revision": "r",
            "takes": ("text", TEXT),
            "dtype": "float16",
            "max_tokens": 9,
            "engine": {"seed": 1},
        },
    ),
    "llamacpp/llamacpp": (
        {"backend": {"use": "llamacpp/llamacpp", "path": "m.gguf"}},
        "backend",
        {
            "path": "n.gguf",
            "name": "other",
            "takes": ("text", TEXT),
            "context": 0,
            "gpu_layers": 0,
            "threads": 1,
            "grammar": 'root ::= "a"',
            "max_tokens": 9,
        },
    ),
    "replay/simulate": (
        {"backend": SIMULATE},
        "backend",
        {
            "model": "n",
            "seed": 1,
            "takes": ("text", TEXT),
            "style": "code",
            "words": 9,
            "latency": 1,
            "sigma": 1,
            "retry_after": 9,
            "burst": 2,
            **dict.fromkeys(("fail", "rate_limit", "transport", "truncate", "bad_json", "refuse", "empty"), 0.1),
        },
    ),
}
#: Settings of members, each with another value; ``task`` and ``backend`` stand for the plugins' own.
MEMBER = {
    "name": "b",
    "backend": {**SIMULATE, "seed": 1},
    "task": {"use": "standard/text-generation", "template": "{{ more }}"},
    "sampling": {"temperature": 1.0},
    "reask": {"times": 2},
    "fallback": "spare",
    "hedge": {"share": 0.1},
    "stop_when": {"failed": 3},
    "price": {"input": 1, "output": 2},
    "inputs": {"instruction": "more"},
    "outputs": {"said": "generation"},
    "drop": ["generation"],
    "cast": {"generation": "str?"},
    "collect": ["generation"],
    "constant": {"language": "en"},
    "prompt_format": ({"use": "chatml"}, {"backend": {**SIMULATE, "takes": "text"}}),
    "when": "more == 'x'",
    "weight": 2.0,
}
SAMPLING = {
    "temperature": 1.0,
    "top_p": 0.5,
    "top_k": 3,
    "min_p": 0.1,
    "max_tokens": 9,
    "stop": ["x"],
    "seed": 1,
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "extra": {"best_of": 2},
}
PLACEMENT = {"isolate": True, "device": "1"}
ISOLATION = {"load_timeout": 9, "silence": 9, "restarts": 9}
LIMITS = {
    "concurrency": 1,
    "max_concurrency": 9,
    "rpm": 1,
    "tpm": 1,
    "timeout": 1,
    "deadline": 1,
    "attempts": 1,
    "max_wait": 1,
    "max_stall": 1,
    "task_timeout": 1,
    "task_memory": 100,
}


def read_page():
    """Where each setting is, by what it is of and its name, as the page says."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = re.fullmatch(r"\| `([^`]+)`( \w+)? \| ([^|]+) \| ([^|]+) \| [^|]*\|", line)
        if cells is not None:
            of, kind, names, where = cells.groups()
            for name in re.findall(r"`([^`]+)`", names):
                key = (of + (kind or ""), name)
                assert key not in found, f"{key} stands there twice"
                found[key] = where.strip().strip("`")
    return found


def _make_installed(entry):
    return replace(
        entry, record=replace(entry.record, editable=False), contribution=replace(entry.contribution, needs=())
    )


@pytest.fixture(scope="module")
def registry():
    """The first-party plugins as if they were installed: code that can change under its version has no parse key.

    Their engines need not be there: nothing of them is imported before a backend is open.
    """
    registry = Registry.discover()
    registry._plugins = [
        replace(plugin, entries=tuple(_make_installed(entry) for entry in plugin.entries))
        for plugin in registry._plugins
    ]
    return registry


@pytest.fixture
def keys(registry, tmp_path, monkeypatch):
    """The request keys of a member's first two samples, and its parse key."""
    (tmp_path / "one.jsonl").write_text("")
    (tmp_path / "two.jsonl").write_text("\n")
    monkeypatch.chdir(tmp_path)

    def compute(spec):
        base = {"name": "a", "backend": SIMULATE, "task": {"use": "standard/text-generation"}}
        spare = Member(**base | {"name": "spare"})
        pool = PoolSpec(members=(Member(**base | spec), spare), policies=(), assign="routed")
        member = make_plan(Recipe(pool=pool), registry, rows=MemoryRows([ROW], None)).members[0]
        backend = member.backend.build()
        bodies = [backend.encode(make_prompt(member, ROW), collect_sampling(member, sample)) for sample in (0, 1)]
        requests = [compute_key(backend.identity, body, sample) for sample, body in enumerate(bodies)]
        assert member.parse_fingerprint is not None or member.task.fingerprint is None
        assert len(set(requests)) == 2
        return requests, member.parse_fingerprint

    return compute


def list_changes():
    for of, (base, place, values) in CASES.items():
        for name, value in values.items():
            changed, more = value if isinstance(value, tuple) else (value, {})
            yield of, name, base, {**base, place: {**base[place], name: changed}, **more}
    for name, value in MEMBER.items():
        changed, more = value if isinstance(value, tuple) else (value, {})
        yield "member", name, {}, {name: changed, **more}
    for name, value in LIMITS.items():
        yield "limits", name, {}, {"limits": {name: value}}
    for name, value in PLACEMENT.items():
        yield "backend", name, {}, {"backend": {**SIMULATE, name: value}}
    for name, value in ISOLATION.items():
        yield (
            "isolate",
            name,
            {"backend": {**SIMULATE, "isolate": True}},
            {"backend": {**SIMULATE, "isolate": {name: value}}},
        )


def name_case(value):
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("of", "name", "base", "changed"), list(list_changes()), ids=name_case)
def test_each_setting_is_where_the_page_says(keys, of, name, base, changed):
    where = read_page()[of, name]
    (requests, parse), (other_requests, other_parse) = keys(base), keys(changed)
    if where == "request key":
        assert not set(requests) & set(other_requests)
    else:
        assert where in ("parse key", "neither", "cells")
        assert requests == other_requests
        assert (parse != other_parse) == (where == "parse key")


@pytest.mark.parametrize("name", SAMPLING)
def test_each_sampling_parameter_is_in_the_request_key(keys, name):
    assert not set(keys({})[0]) & set(keys({"sampling": {name: SAMPLING[name]}})[0])


def test_the_page_has_every_setting_and_no_other(registry):
    expected = set()
    for kind in HOOKS:
        for entry in registry.entries(kind):
            if entry.record.name in FIRST_PARTY:
                suffix = f" {kind}" if kind in ("reader", "writer") else ""
                fields = registry.load(entry).Config.model_fields
                expected |= {(entry.qualified + suffix, name) for name in fields}
                if kind in ("task", "backend", "prompt_format"):
                    assert (entry.qualified in CASES) == bool(fields)
                    assert CASES[entry.qualified][2].keys() == fields.keys() if fields else True
    for of, model in (("recipe", Recipe), ("pool", PoolSpec), ("member", Member), ("limits", Limits)):
        expected |= {(of, name) for name in model.model_fields}
    for of, model, cases in (("backend", Placement, PLACEMENT), ("isolate", Isolation, ISOLATION)):
        assert cases.keys() == model.model_fields.keys()
        expected |= {(of, name) for name in model.model_fields}
    assert read_page().keys() == expected
    assert MEMBER.keys() | {"limits"} == Member.model_fields.keys()
    assert SAMPLING.keys() == Sampling.model_fields.keys()
    assert LIMITS.keys() == Limits.model_fields.keys()
