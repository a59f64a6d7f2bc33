"""The policies same-task and same-family: which classes may share a pool, in any order of members."""

from __future__ import annotations

from abc import abstractmethod
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.policies.task_classes import SameFamily, SameTask, find_family

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt, Row


class Root(Task[PluginConfig]):
    """A real task."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    def render(self, row: Row) -> Prompt:
        return Prompt(text="")

    def parse(self, answer: Answer, row: Row) -> PluginConfig:
        return PluginConfig()


class Mixin:
    """A helper that is no task."""


class AbstractBase(Task[PluginConfig]):
    @abstractmethod
    def help(self) -> None: ...


def make_task(name: str, *bases: type) -> type:
    return type(name, bases, {"__module__": "tasks", "__qualname__": name})


def make_concrete(name: str, *bases: type) -> type:
    members = {key: vars(Root)[key] for key in ("inputs", "render", "parse")} | {"help": lambda _: None}
    return type(name, bases, {**members, "__module__": "tasks", "__qualname__": name})


T = make_concrete("T", Task)
Sub1 = make_task("Sub1", T)
Sub2 = make_task("Sub2", Mixin, T)
SubSub1 = make_task("SubSub1", Sub1)
AbstractSub = type("AbstractSub", (T,), {"__module__": "tasks", "more": abstractmethod(lambda _: None)})
UnderAbstractSub = type("UnderAbstractSub", (AbstractSub,), {"__module__": "tasks", "more": lambda _: None})
Other = make_concrete("Other", Mixin, Task)
SubOther = make_task("SubOther", Other)
Both = make_task("Both", Sub1, Other)
UnderAbstract1 = make_concrete("UnderAbstract1", AbstractBase)
UnderAbstract2 = make_concrete("UnderAbstract2", AbstractBase)
ALL = [T, Sub1, Sub2, SubSub1, UnderAbstractSub, Other, SubOther, Both, UnderAbstract1, UnderAbstract2]


def make_members(classes: tuple[type, ...] | list[type]) -> list[MemberSignature]:
    return [
        MemberSignature(f"m{number}", f"standard/{cls.__name__.lower()}", cls, {}, {}, {})
        for number, cls in enumerate(classes)
    ]


def judge(policy: type, *classes: type) -> list:
    return list(policy(PluginConfig()).judge(make_members(classes)))


@pytest.mark.parametrize(
    ("classes", "family"),
    [
        ((T, T), T),
        ((T, Sub1), T),
        ((T, T, Sub1), T),
        ((T, Sub1, Sub1), T),
        ((Sub1, Sub1, Sub2), T),
        ((Sub2, SubSub1), T),
        ((Sub1, SubSub1), Sub1),
        ((UnderAbstractSub, Sub1), T),
        ((UnderAbstractSub, UnderAbstractSub), UnderAbstractSub),
        ((Both, SubOther), Other),
        ((Both, SubSub1), Sub1),
        ((UnderAbstract1, UnderAbstract1), UnderAbstract1),
    ],
)
def test_a_family_shares_a_pool(classes, family):
    for order in permutations(classes):
        assert judge(SameFamily, *order) == []
        assert find_family(order) is family


@pytest.mark.parametrize(
    "classes",
    [
        (T, Other),
        (Sub1, SubOther),
        (Sub2, Other),
        (UnderAbstract1, UnderAbstract2),
        (T, Both, Other),
    ],
)
def test_tasks_without_a_real_task_in_common_are_refused(classes):
    for order in permutations(classes):
        assert len(judge(SameFamily, *order)) == 1
        assert find_family(order) is None


def test_the_finding_groups_members_by_family():
    (finding,) = judge(SameFamily, Sub1, Other, Sub2)
    assert finding.message == (
        "The members' tasks do not derive from one real task: 'm0' (standard/sub1) and "
        "'m2' (standard/sub2) belong to the family tasks.T; "
        "'m1' (standard/other) belongs to the family tasks.Other."
    )
    assert (finding.level, finding.rule, finding.source) == ("error", "same-family", "same-family")
    assert (finding.members, finding.field, finding.fix) == (("m0", "m1", "m2"), "", "")
    assert finding.hint == (
        "Derive the tasks from one concrete task class, or use the policy output-schema, "
        "which compares the fields that tasks give and not their classes."
    )


def test_a_member_alone_is_of_its_nearest_family():
    (finding,) = judge(SameFamily, SubSub1, SubOther)
    assert "belongs to the family tasks.SubSub1;" in finding.message
    assert "belongs to the family tasks.SubOther." in finding.message


def test_the_same_task_shares_a_pool():
    assert judge(SameTask, T, T, T) == []


def test_different_tasks_are_refused_by_same_task():
    (finding,) = judge(SameTask, T, Sub1, T)
    assert finding.message == (
        "The members have different tasks: 'm0' and 'm2' (standard/t, tasks.T) and 'm1' (standard/sub1, tasks.Sub1)."
    )
    assert (finding.level, finding.rule, finding.source) == ("error", "same-task", "same-task")
    assert (finding.members, finding.field, finding.fix) == (("m0", "m1", "m2"), "", "")
    assert finding.hint.startswith("Give all members one task, or use the policy output-schema")


@pytest.mark.parametrize("policy", [SameTask, SameFamily])
def test_one_member_or_none_always_passes(policy):
    assert judge(policy) == []
    assert all(judge(policy, cls) == [] for cls in ALL)


@pytest.mark.parametrize("policy", [SameTask, SameFamily])
def test_a_class_that_is_no_task_breaks_nothing(policy):
    assert len(judge(policy, Mixin, T)) == 1


@given(classes=st.lists(st.sampled_from(ALL), min_size=1, max_size=4))
def test_the_order_of_members_says_nothing(classes):
    members = make_members(classes)
    for policy in (SameTask(PluginConfig()), SameFamily(PluginConfig())):
        verdicts = {tuple(policy.judge(order)) for order in permutations(members)}
        assert len(verdicts) == 1
