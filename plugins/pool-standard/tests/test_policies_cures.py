"""What the policies' fixes do: pasted into the recipe, and read by the real adapters, they cure.

Members are made as the plan makes them: a task with a pydantic model, and adapters that `adapt_member` reads.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_standard.policies.combine import AllOf, AnyOf, CombinedConfig
from pool_standard.policies.contract import Contract, ContractConfig
from pool_standard.policies.inputs import Inputs
from pool_standard.policies.outputs import OutputNames, OutputSchema, OutputSchemaConfig, OutputUnion
from pool_standard.policies.task_classes import SameFamily, SameTask
from pydantic import create_model

from pool_core.errors import RecipeError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.model_types import read_model
from pool_core.interfaces.policy import MemberSignature, NamedPolicy, Policy, PolicySpec, merge_schema
from pool_core.interfaces.task import Task
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Finding, Prompt
from pool_core.plan.adapt import adapt_member
from pool_core.recipe.models import Member
from pool_core.recipe.yaml_source import read_yaml

KEYS = ("outputs", "drop", "cast", "collect", "constant", "inputs")
COLUMNS = {"instruction": FieldType("str"), "id": FieldType("int")}


class Tiny(Task[PluginConfig]):
    """A task with any output."""

    def __init__(self, output: type) -> None:
        super().__init__(PluginConfig())
        self._output = output

    @property
    def inputs(self):
        return ("instruction",)

    @property
    def output(self):
        return self._output

    def render(self, row):
        return Prompt(text="")

    def parse(self, answer, row):
        raise NotImplementedError


def write_annotation(type_: FieldType) -> Any:
    annotation: Any
    match type_.kind:
        case "list":
            annotation = list[write_annotation(type_.items)]
        case "map":
            annotation = dict[str, write_annotation(type_.items)]
        case "struct":
            annotation = make_model(type_.fields)
        case "literal":
            annotation = Literal[type_.values]
        case kind:
            annotation = {"bool": bool, "int": int, "float": float, "str": str, "any": Any, "null": type(None)}[kind]
    return Optional[annotation] if type_.nullable and type_.kind not in ("any", "null") else annotation  # noqa: UP045


@cache
def make_model(fields: tuple[tuple[str, FieldType], ...]) -> type:
    return create_model("Output", **{name: (write_annotation(type_), ...) for name, type_ in fields})


@dataclass(frozen=True)
class Part:
    """A member as a recipe has it, and the fields of its task."""

    name: str
    fields: Mapping[str, FieldType]
    adapters: Mapping[str, Any] = field(default_factory=dict)

    def sign(self) -> MemberSignature:
        """What the plan makes of it."""
        member = Member(name=self.name, backend="replay", task="tiny", **self.adapters)
        task = Tiny(make_model(tuple(self.fields.items())))
        adapter = adapt_member(member, task, None, ())
        return MemberSignature(
            name=self.name,
            task="standard/tiny",
            task_class=Tiny,
            inputs=adapter.inputs,
            outputs=adapter.outputs,
            sources=adapter.sources,
            fields=read_model(task.output),
            adapters={key: value for key in KEYS if (value := getattr(member, key))},
            columns=COLUMNS,
        )


def part(name: str, adapters: str = "{}", **fields: str) -> Part:
    return Part(name, {own: parse_type(text) for own, text in fields.items()}, yaml.safe_load(adapters))


def sign_all(parts: Sequence[Part]) -> list[MemberSignature]:
    return [each.sign() for each in parts]


def list_errors(policy: Policy, parts: Sequence[Part]) -> list[Finding]:
    return [finding for finding in policy.judge(sign_all(parts)) if finding.level == "error"]


def paste(parts: Sequence[Part], findings: Sequence[Finding]) -> list[Part]:
    """The members with all fixes pasted: each replaces the keys that it names."""
    adapters = {each.name: dict(each.adapters) for each in parts}
    for finding in findings:
        if finding.fix:
            fix = yaml.safe_load(finding.fix)
            assert read_yaml(finding.fix, Path("recipe.yaml"))[0] == fix
            assert fix.keys() <= set(KEYS)
            for name in finding.members:
                adapters[name] |= fix
    return [replace(each, adapters=adapters[each.name]) for each in parts]


def cure(policy: Policy, parts: Sequence[Part], rounds: int = 1) -> list[Part]:
    """The members when the findings' fixes are pasted, which must leave no error."""
    for _ in range(rounds):
        findings = list_errors(policy, parts)
        assert all(finding.fix or finding.rule == "any-of" for finding in findings)
        parts = paste(parts, findings)
    assert list_errors(policy, parts) == []
    return list(parts)


CONTRACT_SCHEMA = {name: parse_type(text) for name, text in {"u": "str?", "v": "float?", "w": "list[str]?"}.items()}


def make_contract(schema: Mapping[str, FieldType] = CONTRACT_SCHEMA) -> Contract:
    return Contract(ContractConfig(path=Path("contract.yaml")), schema)


def combine(cls: type, **inner: Policy) -> Policy:
    config = CombinedConfig(policies=[PolicySpec(use=name) for name in inner])
    return cls.build(config, [NamedPolicy(name, policy) for name, policy in inner.items()])


NAMES = OutputNames(PluginConfig())
SCHEMA = OutputSchema(OutputSchemaConfig())
OPEN = OutputSchema(OutputSchemaConfig(open_structs=True))
UNION = OutputUnion(PluginConfig())
CURING = {
    "output-names": NAMES,
    "output-schema": SCHEMA,
    "open-structs": OPEN,
    "output-union": UNION,
    "all": combine(AllOf, names=NAMES, schema=SCHEMA),
    "any_of": combine(AnyOf, schema=SCHEMA, union=UNION),
}
POLICIES = {
    **CURING,
    "contract": make_contract(),
    "inputs": Inputs(PluginConfig()),
    "same-task": SameTask(PluginConfig()),
    "same-family": SameFamily(PluginConfig()),
}


# --- pools by hand: members, and the fix of each that has one

S, N = "str", "int"
BY_HAND = {
    "rename": ([part("a", code=S), part("b", text=S), part("c", text=S)], {"a": "outputs: {text: code}"}),
    "rename to a wider type": ([part("a", n=N), part("b", x="float")], {"a": "outputs: {x: n}"}),
    "rename both by type": (
        [part("a", s=S, n=N), part("b", text=S, score="float")],
        {"a": "outputs: {score: n, text: s}"},
    ),
    "two that could be one": (
        [part("a", s=S, t=S), part("b", text=S)],
        {"a": "drop: [s, t]\nconstant: {text: null}"},
    ),
    "one that could be two": (
        [part("a", s=S), part("b", text=S, title=S)],
        {"a": "drop: [s]\nconstant: {text: null, title: null}"},
    ),
    "extra": ([part("a", x=S, y=S), part("b", x=S)], {"a": "drop: [y]"}),
    "missing": ([part("a", x=S), part("b", x=S, y=S)], {"a": "constant: {y: null}"}),
    "undo a rename": ([part("a", "outputs: {y: x}", x=S), part("b", x=S)], {"a": "outputs: {}"}),
    "undo the rename among others": (
        [part("a", "outputs: {y: x, z: w}", x=S, w=S), part("b", x=S, v=S)],
        {"a": "outputs: {v: w}"},
    ),
    "rename of a rename": (
        [part("a", "outputs: {y: own, k: kept}", own=S, kept=N), part("b", x=S, k=N)],
        {"a": "outputs: {k: kept, x: own}"},
    ),
    "drop a rename": (
        [part("a", "outputs: {y: own, k: kept}", own=S, kept=N), part("b", k=N)],
        {"a": "outputs: {k: kept}\ndrop: [own]"},
    ),
    "drop beside what is dropped": (
        [part("a", "drop: [gone]", gone=S, y=S, k=N), part("b", k=N)],
        {"a": "drop: [gone, y]"},
    ),
    "drop what is cast and collected": (
        [part("a", "{cast: {y: str, k: str}, collect: [y, k]}", y=N, k=N), part("b", k="list[str]")],
        {"a": "drop: [y]\ncast: {k: str}\ncollect: [k]"},
    ),
    "rename what is cast and collected": (
        [part("a", "{cast: {y: str}, collect: [y]}", y=N), part("b", k="list[str]")],
        {"a": "outputs: {k: y}\ncast: {k: str}\ncollect: [k]"},
    ),
    "drop a constant": ([part("a", "constant: {y: 1, z: no}", x=S), part("b", x=S)], {"a": "constant: {}"}),
    "drop one of two constants": (
        [part("a", "constant: {y: 1, z: 'no'}", x=S), part("b", x=S, z=S)],
        {"a": 'constant: {z: "no"}'},
    ),
    "rename a constant": (
        [part("a", "constant: {lang: de}", x=N), part("b", x=N, language=S)],
        {"a": "constant: {language: de}"},
    ),
    "a constant that hides what is dropped": (
        [part("a", "{drop: [x], constant: {x: 1, y: 2.5}}", x=S), part("b", x=N)],
        {"a": "constant: {x: 1}"},
    ),
    "a field under two names": (
        [part("a", "outputs: {x: x, y: x}", x=S), part("b", x=S)],
        {"a": "outputs: {x: x}"},
    ),
    "dropped under its own name": (
        [part("a", "outputs: {y: y, z: x}", x=S, y=N), part("b", z=S)],
        {"a": "outputs: {z: x}\ndrop: [y]"},
    ),
    "swapped names": (
        [part("a", "outputs: {x: y, y: x}", x=S, y=S), part("b", x=S)],
        {"a": "outputs: {x: y}\ndrop: [x]"},
    ),
    "text and a number": ([part("a", x=N), part("b", x=S)], {"a": "cast: {x: str}"}),
    "text in the minority": ([part("a", x=N), part("b", x="float"), part("c", x=S)], {"a b": "cast: {x: str}"}),
    "truth among numbers": ([part("a", x="bool"), part("b", x=N), part("c", x=N)], {"a": "cast: {x: int}"}),
    "truth among fractions": (
        [part("a", x="bool?"), part("b", x="float"), part("c", x=N)],
        {"a": 'cast: {x: "float?"}'},
    ),
    "a number among truths": (
        [part("a", x="bool"), part("b", x="bool"), part("c", x=N)],
        {"a b c": "cast: {x: str}"},
    ),
    "null survives": ([part("a", x="int?"), part("b", x=S)], {"a": 'cast: {x: "str?"}'}),
    "a literal and a number": ([part("a", x="'A' | 'B'"), part("b", x=N)], {"b": "cast: {x: str}"}),
    "one against a list": ([part("a", x=S), part("b", x="list[str]")], {"a": "collect: [x]"}),
    "one that may be null against a list": ([part("a", x="int?"), part("b", x="list[float]")], {"a": "collect: [x]"}),
    "a struct against a list of them": (
        [part("a", x="{k: int}"), part("b", x="list[{k: float}]")],
        {"a": "collect: [x]"},
    ),
    "a list against a list of lists": (
        [part("a", x="list[int]"), part("b", x="list[list[int]]")],
        {"a": "collect: [x]"},
    ),
    "a list of other items": (
        [part("a", x=N), part("b", x="list[str]?")],
        {"a": "cast: {x: str}", "b": 'cast: {x: "str?"}'},
    ),
    "lists of items that conflict": (
        [part("a", x="list[int]"), part("b", x="list[str]")],
        {"a": 'cast: {x: "list[str]"}'},
    ),
    "maps of values that conflict": (
        [part("a", x="map[int?]"), part("b", x="map[str]")],
        {"a": 'cast: {x: "map[str?]"}'},
    ),
    "a map and a struct": ([part("a", x="map[str]"), part("b", x="{k: str}")], {"a b": "cast: {x: str}"}),
    "structs with other names": ([part("a", x="{k: int}"), part("b", x="{l: int}")], {"a b": "cast: {x: str}"}),
    "structs with a conflict inside": (
        [part("a", x="{k: {l: int}}"), part("b", x="{k: {l: str}}")],
        {"a b": "cast: {x: str}"},
    ),
    "lists of structs that conflict": (
        [part("a", x="list[{k: int}]"), part("b", x="list[{k: str}]?")],
        {"a": 'cast: {x: "list[str]"}', "b": 'cast: {x: "list[str]?"}'},
    ),
    "a struct and text": ([part("a", x="{k: int}?"), part("b", x=S)], {"a": 'cast: {x: "str?"}'}),
    "any and text": ([part("a", x="any"), part("b", x=S)], {"a": 'cast: {x: "str?"}'}),
    "any, text and null": ([part("a", x="any"), part("b", x=S), part("c", x="null")], {"a": 'cast: {x: "str?"}'}),
    "a cast that is not needed": ([part("a", "cast: {x: int}", x=S), part("b", x=S)], {"a": "cast: {}"}),
    "a cast of something else stays": (
        [part("a", "cast: {y: str}", x=N, y=N), part("b", x=S, y=S)],
        {"a": "cast: {x: str, y: str}"},
    ),
    "collected in one member": (
        [part("a", "collect: [x]", x=S), part("b", x=S), part("c", x=S)],
        {"b c": "collect: [x]"},
    ),
    "collected and of other items": (
        [part("a", "collect: [x]", x=N), part("b", x="list[str]")],
        {"a": "cast: {x: str}"},
    ),
    "collected against a struct": (
        [part("a", "collect: [x]", x=N), part("b", x="{k: int}")],
        {"a": "cast: {x: str}\ncollect: []", "b": "cast: {x: str}"},
    ),
    "a constant of another type": (
        [part("a", "constant: {x: 5, y: [1.5e+20, {k: null}]}", t=S), part("b", t=S, x=S, y="any")],
        {
            "a": 'constant: {x: "5", y: "[1.5e20,{\\"k\\":null}]"}',
            "b": 'cast: {y: "str?"}',
        },
    ),
    "a constant against a list": (
        [part("a", "constant: {x: 1.0e+20}", t=S), part("b", t=S, x="list[float]")],
        {"a": "constant: {x: [1.0e+20]}"},
    ),
    "a constant truth among numbers": (
        [part("a", "constant: {x: true}", t=S), part("b", t=S, x=N), part("c", t=S, x=N)],
        {"a": "constant: {x: 1}"},
    ),
    "names and types at once": (
        [part("a", n=N, x="{k: int}"), part("b", text=N, x=S), part("c", text=N, x=S)],
        {"a": "outputs: {text: n}\ncast: {x: str}"},
    ),
    "several types at once": (
        [part("a", x=N, y=S, z="bool"), part("b", x=S, y="list[str]", z="bool?")],
        {"a": "cast: {x: str}\ncollect: [y]"},
    ),
    "renamed, and a conflict with another": (
        [part("a", n=S), part("b", x="null"), part("c", x="null"), part("d", m=N)],
        {"a": "outputs: {x: n}", "d": "drop: [m]\nconstant: {x: null}"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_the_fix_of_a_pool_by_hand(name):
    parts, expected = BY_HAND[name]
    found: dict[str, str] = {}
    for finding in list_errors(SCHEMA, parts):
        assert found.setdefault(" ".join(finding.members), finding.fix) == finding.fix
    assert found == expected
    cure(SCHEMA, parts)


@pytest.mark.parametrize("policy", CURING)
@pytest.mark.parametrize("name", BY_HAND)
def test_every_policy_cures_the_pools_by_hand(name, policy):
    cure(CURING[policy], BY_HAND[name][0], rounds=2)


def test_what_a_fix_does_is_said():
    hints = {
        "drop a rename": "in place of `outputs`: it drops 'y'.",
        "text and a number": ": it casts 'x' to str.",
        "any and text": ": it writes 'x' as JSON text.",
        "a cast that is not needed": "in place of `cast`: it no longer casts 'x'.",
        "one against a list": ": it makes 'x' a list of one item.",
        "collected against a struct": (
            "in place of `collect`: it casts 'x' to str and no longer makes 'x' a list."
        ),
        "a constant against a list": "in place of `constant`: it changes the constant 'x'.",
        "rename a constant": "in place of `constant`: it renames the constant 'lang' to 'language'.",
    }  # fmt: skip
    for name, hint in hints.items():
        finding = list_errors(SCHEMA, BY_HAND[name][0])[0]
        assert finding.hint.startswith("Add the fix to 'a'")
        assert finding.hint.endswith(hint)


# --- pools by chance


TYPES = ["str", "int", "float", "bool", "null", "any", "str?", "int?", "'a' | 'b'", "list[str]", "list[int?]?"]
TYPES += ["list[list[int]]", "list[any]", "{k: int}", "{k: str, l: int?}", "{k: {l: str}}?", "list[{k: int}]"]
TYPES += ["map[int]", "map[str]", "map[{k: int}]"]
VALUES = [None, True, 3, 2.5, 1e20, "a", "no", "", "{x: 1}", [], [1, None], ["a"], {"k": 1}, {"k": [{"l": "ü\n"}]}]
OWN = ["u", "v", "w", "x", "own1", "own2"]
POOL = ["u", "v", "w", "x", "y z"]


def draw_part(chance: random.Random, name: str) -> Part:
    """A member with any adapters that the plan accepts."""
    while True:
        fields = {own: parse_type(chance.choice(TYPES)) for own in chance.sample(OWN, chance.randint(0, 3))}
        renamed = chance.sample(POOL, chance.randint(0, len(fields) and 2))
        adapters = {
            "outputs": {new: chance.choice(list(fields)) for new in renamed},
            "drop": [own for own in fields if chance.random() < 0.15],
            "cast": {new: chance.choice(TYPES) for new in POOL if chance.random() < 0.15},
            "collect": [new for new in POOL if chance.random() < 0.12],
            "constant": {new: chance.choice(VALUES) for new in POOL if chance.random() < 0.12},
        }
        drawn = Part(name, fields, {key: value for key, value in adapters.items() if value})
        try:
            drawn.sign()
        except RecipeError:
            continue
        return drawn


def draw_pool(seed: int) -> list[Part]:
    chance = random.Random(seed)
    return [draw_part(chance, name) for name in "abcde"[: chance.randint(1, 5)]]


@pytest.fixture(scope="module")
def pools():
    return [draw_pool(seed) for seed in range(300)]


def test_no_policy_raises_and_every_verdict_is_the_same_again(pools):
    for parts in pools:
        members = sign_all(parts)
        for policy in POLICIES.values():
            assert list(policy.judge(members)) == list(policy.judge(members))


@pytest.mark.parametrize("policy", POLICIES)
def test_no_order_of_up_to_five_members_says_anything(policy, pools):
    sizes = {len(parts): parts for parts in pools[:30]}
    assert set(sizes) == {1, 2, 3, 4, 5}
    for parts in [*pools[:8], *sizes.values()]:
        members = sign_all(parts)
        expected = list(POLICIES[policy].judge(members))
        assert all(list(POLICIES[policy].judge(order)) == expected for order in permutations(members))


@pytest.mark.parametrize(("policy", "rounds", "least"), [
    ("output-names", 1, 200), ("output-schema", 1, 200), ("open-structs", 1, 200), ("output-union", 1, 100),
    ("all", 2, 200), ("any_of", 2, 100),
])  # fmt: skip
def test_pools_by_chance_are_cured(policy, rounds, least, pools):
    incompatible = [parts for parts in pools if list_errors(CURING[policy], parts)]
    assert len(incompatible) >= least
    for parts in incompatible:
        cure(CURING[policy], parts, rounds)


def test_a_cure_changes_only_what_its_fixes_name(pools):
    for parts in pools:
        findings = list_errors(SCHEMA, parts)
        fixed = {name for finding in findings for name in finding.members}
        for before, after in zip(parts, paste(parts, findings), strict=True):
            assert (before.name in fixed) == (before.adapters != after.adapters)


def draw_value(chance: random.Random, type_: FieldType) -> Any:
    if type_.kind == "any":
        return chance.choice(VALUES)
    if type_.kind == "null" or (type_.nullable and chance.random() < 0.3):
        return None
    match type_.kind:
        case "list":
            return [draw_value(chance, type_.items) for _ in range(chance.randint(0, 2))]
        case "map":
            return {name: draw_value(chance, type_.items) for name in chance.sample("pq", chance.randint(0, 2))}
        case "struct":
            return {name: draw_value(chance, item) for name, item in type_.fields}
        case "literal":
            return chance.choice(type_.values)
        case kind:
            return chance.choice({"bool": [True, False], "int": [-3, 10**20], "float": [0.5], "str": ["", "ü"]}[kind])


def holds(type_: FieldType, value: Any) -> bool:
    """Whether ``value`` is one of the type's."""
    if value is None or type_.kind == "any":
        return type_.nullable
    match type_.kind:
        case "list":
            return isinstance(value, list) and all(holds(type_.items, item) for item in value)
        case "map":
            return isinstance(value, dict) and all(holds(type_.items, item) for item in value.values())
        case "struct":
            return isinstance(value, dict) and all(holds(item, value.get(name)) for name, item in type_.fields)
        case "literal":
            return value in type_.values
        case kind:
            return type(value) is {"bool": bool, "int": int, "float": float, "str": str}[kind]


def test_every_value_survives_a_fix_and_is_of_the_fields_type(pools):
    chance, casts = random.Random(0), 0
    for parts in pools:
        uncast = [each for each in parts if "cast" not in each.adapters]
        for policy in (SCHEMA, UNION):
            for each in cure(policy, uncast):
                member = Member(name=each.name, backend="replay", task="tiny", **each.adapters)
                adapter = adapt_member(member, Tiny(make_model(tuple(each.fields.items()))), None, ())
                casts += len(adapter.casts)
                values = {name: draw_value(chance, type_) for name, type_ in each.fields.items()}
                for name, value in adapter.adapt_output(values).items():
                    assert holds(adapter.outputs[name], value)
    assert casts >= 300


def test_what_output_schema_accepts_has_a_type(pools):
    accepted = 0
    for parts in [*pools, *(cure(SCHEMA, parts) for parts in pools)]:
        members = sign_all(parts)
        if not list_errors(SCHEMA, parts):
            accepted += 1
            for name, merged in merge_schema(members).items():
                if merged.kind == "any":
                    assert any(member.outputs[name].kind == "any" for member in members)
    assert accepted >= 300


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(1000, 10**9), policy=st.sampled_from(sorted(CURING)))
def test_any_pool_is_cured(seed, policy):
    cure(CURING[policy], draw_pool(seed))


STRUCTS = st.sampled_from(
    ["{a: int}", "{b: int}", "{b: str}", "{a: int, b: int}", "{a: str}?", "int", "list[{a: int}]"]
)


@given(
    fields=st.lists(
        st.dictionaries(st.sampled_from(["doc", "meta", "x"]), STRUCTS, min_size=1, max_size=2), min_size=2, max_size=4
    ),
    policy=st.sampled_from(sorted(CURING)),
)
def test_any_pool_of_structs_is_cured(fields, policy):
    cure(CURING[policy], [part(name, **given) for name, given in zip("abcd", fields, strict=False)])


def test_a_type_that_clashes_only_with_what_others_become_is_cast_as_well():
    parts = [part("a", meta="{b: int}"), part("b", doc="{b: str}", extra=N), part("c", doc="{a: int}")]
    fixes = {name: finding.fix for finding in list_errors(OPEN, parts) for name in finding.members}
    assert fixes == {
        "a": "outputs: {doc: meta}\ncast: {doc: str}",
        "b": "drop: [extra]\ncast: {doc: str}",
        "c": "cast: {doc: str}",
    }
    cure(OPEN, parts)


# --- the contract


def test_a_contract_is_kept_after_its_fixes_wherever_a_cast_exists(pools):
    """Where a finding has a fix, it cures its members; where it has none, no type can be cast."""
    contract, cured = make_contract(), 0
    for parts in pools:
        pasted = paste(parts, list_errors(contract, parts))
        stuck = {(name, f.field) for f in list_errors(contract, parts) if not f.fix for name in f.members}
        remaining = {(name, f.field) for f in list_errors(contract, pasted) for name in f.members}
        assert remaining <= stuck
        cured += bool(list_errors(contract, parts)) and not remaining
    assert cured >= 60


def test_an_accepted_contract_holds_all_values(pools):
    contract = make_contract(merge_schema(sign_all(pools[0])))
    assert list(contract.judge(sign_all(pools[0]))) == []
