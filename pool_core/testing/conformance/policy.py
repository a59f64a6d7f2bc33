"""The checks of a policy: total, deterministic, free of order, and helpful."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, ClassVar

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.policy import MemberSignature, Policy, check_findings
from pool_core.interfaces.types import ANY, NULL, FieldType, make_struct
from pool_core.interfaces.values import Finding
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import PluginConformance, clip
from pool_core.testing.conformance.effects import watch_effects
from pool_core.testing.scripted import CodeTask, EchoTask

__all__ = ["PolicyConformance"]

Members = Sequence[MemberSignature]

_RULE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
#: What a fix may hold: the keys of a member.
_KEYS = frozenset(
    ("inputs", "outputs", "drop", "cast", "collect", "constant", "sampling", "limits", "task", "backend", "when")
)
#: More orders than these are not tried.
_MOST_ORDERS = 24


class PolicyConformance(PluginConformance):
    """A policy that is what `Policy` promises.

    ::

        class TestOddNumber(PolicyConformance):
            use = "sentiment/odd-number"
            supports = Supports(fixes=False)
            accepts = [[make_signature("a", {"label": "str"})]]
            refuses = [[make_signature("a", {"label": "str"}), make_signature("b", {"label": "str"})]]
    """

    kind = "policy"
    asked = ("fixes",)

    #: Pools that it accepts, each as its members.
    accepts: ClassVar[Sequence[Members]] = ()
    #: Pools that it refuses.
    refuses: ClassVar[Sequence[Members]] = ()

    def make_policy(self) -> Policy[Any]:
        """The policy as a recipe makes it."""
        with self.explaining("it cannot be made", "raise ValueError from `build` for what cannot work, with a hint"):
            return self.resolver.resolve_policy(self.make_use(), ())[0]

    # What the checks work with.

    def _judge(self, policy: Policy[Any], members: Members) -> list[Finding]:
        """The findings; anything else that the policy does fails the check."""
        shown = clip([(member.name, dict(member.outputs)) for member in members])
        found = self.call(f"judge of {shown}", lambda: list(policy.judge(members)))
        try:
            return check_findings(found)
        except TypeError as error:
            self.fail(f"judge of {shown}: {error}", "yield Finding objects whose parts are as documented")

    def _pools(self) -> list[Members]:
        if not self.accepts or not self.refuses:
            missing = "accepts" if not self.accepts else "refuses"
            self.fail(f"nobody has looked: there is no pool that it {missing}", f"give `{missing}`")
        return [*self.accepts, *self.refuses]

    def _findings(self) -> Iterator[tuple[Members, Finding]]:
        policy = self.make_policy()
        for members in self._pools():
            for finding in self._judge(policy, members):
                yield members, finding

    # The checks.

    def test_it_accepts_and_refuses_as_declared(self) -> None:
        """The pools of `accepts` get no finding of level `error`, those of `refuses` one at least."""
        policy = self.make_policy()
        self._pools()
        for wanted, pools in ((False, self.accepts), (True, self.refuses)):
            for members in pools:
                errors = [one for one in self._judge(policy, members) if one.level == "error"]
                if bool(errors) != wanted:
                    names = ", ".join(member.name for member in members)
                    self.fail(f"the pool of {names} is {'accepted' if wanted else clip(errors)}", "correct one of them")

    def test_it_is_total(self) -> None:
        """Whatever the members are (hypothesis: none, one, many, odd names, every type), it raises nothing."""
        policy = self.make_policy()

        @hostile.QUIET
        @given(_draw_pools())
        def try_pool(members: Members) -> None:
            self._judge(policy, members)

        self._judge(policy, [])
        try_pool()

    def test_it_is_deterministic(self) -> None:
        """The same members get the same findings: again, after other pools, and from another policy."""
        policy = self.make_policy()
        pools = self._pools()
        first = [self._judge(policy, members) for members in pools]
        for members, found in reversed(list(zip(pools, first, strict=True))):
            for other in (policy, self.make_policy()):
                if (again := self._judge(other, members)) != found:
                    self.fail(f"{clip(found)} is {clip(again)} the next time", "no clock, random or state")

    def test_it_is_free_of_order(self) -> None:
        """Every order of the members gives the same findings (examples, and hypothesis)."""
        policy = self.make_policy()

        def try_orders(members: Members) -> None:
            wanted = _sort(self._judge(policy, members))
            for number, order in enumerate(permutations(members)):
                if number == _MOST_ORDERS:
                    return
                if (found := _sort(self._judge(policy, order))) != wanted:
                    names = [member.name for member in order]
                    self.fail(f"the order {names} gives {clip(found)}, not {clip(wanted)}", "sort the members first")

        @hostile.QUIET
        @given(_draw_pools(most=4))
        def try_pool(members: Members) -> None:
            try_orders(members)

        for members in self._pools():
            try_orders(members)
        try_pool()

    def test_findings_have_hints(self) -> None:
        """Every error and warning says what to do."""
        for _, finding in self._findings():
            if finding.level != "info" and not finding.hint.strip():
                self.fail(f"no hint: {finding.message}", "say what to do in `hint`")

    def test_findings_are_named_and_said(self) -> None:
        """Every finding has a rule such as `output-names`, by which recipes silence it, and a message."""
        for _, finding in self._findings():
            if not _RULE.fullmatch(finding.rule):
                self.fail(
                    f"the rule is {finding.rule!r}", "name it in small letters, with hyphens, and never rename it"
                )
            if not finding.message.strip():
                self.fail(f"the finding {finding.rule} has no message", "say what is wrong, and of whom")

    def test_findings_are_about_members(self) -> None:
        """The members of a finding are members of the pool."""
        for members, finding in self._findings():
            names = {member.name for member in members}
            if stranger := next((name for name in finding.members if name not in names), None):
                self.fail(f"a finding names {stranger!r}, which is no member of {sorted(names)}", "use member.name")

    def test_fixes_can_be_pasted(self) -> None:
        """A fix is YAML of a member's keys; there is one where that is declared."""
        fixes = [finding.fix for _, finding in self._findings() if finding.fix]
        for fix in fixes:
            try:
                read = yaml.safe_load(fix)
            except yaml.YAMLError as error:
                self.fail(f"the fix {fix!r} is no YAML: {error}", "write it with yaml_text.write_fix")
            if not isinstance(read, Mapping) or not set(read) <= _KEYS:
                self.fail(f"the fix {fix!r} is no part of a member", f"use the keys {', '.join(sorted(_KEYS))}")
        if bool(fixes) != self.supports.fixes:
            self.fail(f"fixes={self.supports.fixes} is declared, and {len(fixes)} were given", "declare what is so")

    def test_members_are_left_alone(self) -> None:
        """It changes nothing of the members, and takes ones that are read-only."""
        policy = self.make_policy()
        for members in self._pools():
            before = pickle.dumps([_list_parts(member) for member in members])
            self._judge(policy, members)
            if pickle.dumps([_list_parts(member) for member in members]) != before:
                self.fail("judge changed a member", "change copies")
            self._judge(policy, tuple(_freeze(member) for member in members))

    def test_it_has_no_effects(self) -> None:
        """`judge` opens no file and contacts nothing."""
        policy = self.make_policy()
        for members in self._pools():
            self._judge(policy, members)
            with watch_effects() as effects:
                self._judge(policy, members)
            if effects:
                self.fail(f"judge {effects[0]}", "read files in `build`, and nothing else at all")

    def test_it_ends_for_many_members(self) -> None:
        """Fifty members of thirty fields each are judged in time."""
        policy = self.make_policy()
        base = self._pools()[0][0]
        type_ = FieldType("list", items=FieldType("str", nullable=True))
        outputs = {f"field_{number:02}": type_ for number in range(30)}
        self._judge(policy, [_change(base, name=f"m{number:02}", outputs=outputs) for number in range(50)])

    def test_it_works_in_another_process(self) -> None:
        """A policy can be pickled, and says the same in another process; findings can be pickled as well."""
        policy = self.make_policy()
        for members in self._pools():
            here = self._judge(policy, members)
            there = self.call_elsewhere("the policy or a member", _judge_there, policy, list(members))
            if here != there:
                self.fail(f"it said {clip(here)}, and in another process {clip(there)}", "no clock, random or sets")


def _judge_there(policy: Policy[Any], members: Members) -> list[Finding]:
    return list(policy.judge(members))


def _sort(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=repr)


def _list_parts(member: MemberSignature) -> list[Any]:
    return [repr(getattr(member, name)) for name in MemberSignature.__slots__]


def _change(member: MemberSignature, **parts: Any) -> MemberSignature:
    outputs = parts.get("outputs", member.outputs)
    more = {"sources": {name: name for name in outputs}, "fields": dict(outputs)}
    kept = {name: getattr(member, name) for name in MemberSignature.__slots__}
    return MemberSignature(**{**kept, **more, **parts})


def _freeze(member: MemberSignature) -> MemberSignature:
    return MemberSignature(**{name: freeze(getattr(member, name)) for name in MemberSignature.__slots__})


def _draw_types() -> st.SearchStrategy[FieldType]:
    scalars = st.sampled_from(
        [
            ANY,
            NULL,
            *(FieldType(kind, nullable=null) for kind in ("bool", "int", "float", "str") for null in (True, False)),
            FieldType("literal", values=("a", "b")),
        ]
    )
    return st.recursive(
        scalars,
        lambda inner: (
            inner.map(lambda item: FieldType("list", items=item))
            | inner.map(lambda item: FieldType("map", items=item))
            | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2).map(make_struct)
        ),
        max_leaves=3,
    )


def _draw_members() -> st.SearchStrategy[MemberSignature]:
    names = st.sampled_from(["a", "b", "Long Name", "ü", "1", "x: y", "'", "-", "no"])
    fields = st.sampled_from(["code", "generation", "score", "a b", "ö", "1", "null"])
    columns = st.none() | st.dictionaries(st.sampled_from(["text", "prompt"]), _draw_types(), max_size=2)
    return st.builds(
        _make_member,
        names,
        st.sampled_from([EchoTask, CodeTask]),
        st.dictionaries(st.sampled_from(["text", "prompt"]), st.sampled_from(["text", "prompt", "gone"]), max_size=2),
        st.dictionaries(fields, _draw_types(), max_size=3),
        columns,
        st.booleans(),
    )


def _make_member(
    name: str,
    task: type[Any],
    inputs: dict[str, str],
    outputs: dict[str, FieldType],
    columns: dict[str, FieldType] | None,
    complete: bool,
) -> MemberSignature:
    return MemberSignature(
        name,
        f"test/{task.__name__.lower()}",
        task,
        inputs,
        outputs,
        {field: field for field in outputs},
        dict(outputs),
        {},
        columns,
        columns_complete=complete,
    )


def _draw_pools(most: int = 6) -> st.SearchStrategy[Members]:
    return st.lists(_draw_members(), max_size=most, unique_by=lambda member: member.name)
