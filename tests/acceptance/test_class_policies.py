"""Which tasks may share a pool: what comparing classes gets right and wrong, and what comparing fields gets right.

A system that compares classes alone, and takes the first member's as the measure, refuses tasks with
identical outputs, accepts tasks with disjoint ones, and changes its mind when members change places.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations

import pytest
from pydantic import BaseModel

from pool_core import Registry
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt
from pool_core.plan.build import make_plan
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.testing.scripted_plugin import ScriptedPlugin

pytestmark = pytest.mark.plugins("standard")

POLICIES = ("same-task", "same-family", "output-names", "output-schema", "output-union", "inputs")


class Text(BaseModel):
    generation: str


class Rating(BaseModel):
    score: int


class Review(BaseModel):
    score: float
    rationale: str


class Swapped(BaseModel):
    rationale: str
    score: float


class Asking(Task[PluginConfig]):
    """What the tasks below share and is no task by itself: it asks nothing of its own."""

    Config = PluginConfig

    def __init__(self) -> None:
        super().__init__(PluginConfig())

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("instruction",)

    def render(self, row) -> Prompt:
        return Prompt.chat(row["instruction"])


def parse(self, answer: Answer, row) -> BaseModel:
    return self.output.model_construct()


class T(Asking):
    Output = Text
    parse = parse


class Sub(T):
    """Derived from T."""


class Sub1(T):
    """Derived from T as well."""


class Sub2(T):
    """And once more."""


class SubSub(Sub1):
    """Two steps from T."""


class Rater(Asking):
    """Directly under the base, as T is."""

    Output = Rating
    parse = parse


class Twin(Asking):
    """Another parent than T's, and the same outputs."""

    Output = Text
    parse = parse


class Parent(Asking):
    Output = Text
    parse = parse


class Writer(Parent):
    Output = Text


class Judge(Parent):
    """The parent of Writer, and nothing in common with it that a reader could use."""

    Output = Rating


class Reviewer(Asking):
    Output = Review
    parse = parse


class OtherReviewer(Asking):
    """The outputs of Reviewer in another order, from another class."""

    Output = Swapped
    parse = parse


def plan(policies, classes):
    """The plan of one member for each task, named by its place among ``classes``."""
    members = [(f"m{number}", cls) for number, cls in enumerate(classes)]
    return plan_members(policies, members)


@cache
def make_registry():
    """The installed plugins, and a backend that needs no configuration."""
    registry = Registry.discover()
    registry.register(ScriptedPlugin(), name="scripted")
    return registry


def plan_members(policies, members):
    made = [Member(name=name, backend="scripted/echo", task=cls()) for name, cls in members]
    return make_plan(Recipe(pool=PoolSpec(members=made, policies=policies)), make_registry())


def accepts(policy, *classes):
    """Whether the policy accepts; the same for every order, or the test fails."""
    found = {plan((policy,), order).compatible for order in set(permutations(classes))}
    assert len(found) == 1
    return found.pop()


# Comparing classes, where it is asked for


@pytest.mark.parametrize(
    "classes",
    [(T, T), (T, Sub), (T, T, Sub), (T, Sub, Sub), (Sub1, Sub1, Sub2), (Sub2, SubSub)],
    ids=lambda classes: "-".join(cls.__name__ for cls in classes),
)
def test_tasks_of_one_family_are_accepted_wherever_the_family_stands(classes):
    assert accepts("same-family", *classes)
    assert accepts("same-task", *classes) is (len(set(classes)) == 1)


@pytest.mark.parametrize(
    "classes",
    [(T, Rater), (T, Twin), (Sub1, Rater), (T, Sub, Rater), (SubSub, Twin)],
    ids=lambda classes: "-".join(cls.__name__ for cls in classes),
)
def test_tasks_that_have_the_base_alone_in_common_are_no_family(classes):
    made = plan(("same-family",), classes)
    assert not accepts("same-family", *classes)
    assert not accepts("same-task", *classes)
    (finding,) = made.findings
    assert finding.rule == "same-family"
    assert finding.members == tuple(f"m{number}" for number in range(len(classes)))
    for cls in classes:
        assert cls.__name__ in finding.message
    assert "output-schema" in finding.hint


def test_a_text_task_and_a_rating_task_are_refused_by_classes_and_by_fields():
    members = [
        Member(name="writer", backend="scripted/echo", task="text-generation"),
        Member(name="rater", backend="scripted/echo", task=Rater()),
    ]
    recipe = Recipe(pool=PoolSpec(members=members, policies=("same-task", "same-family", "output-schema")))
    findings = make_plan(recipe, make_registry()).findings
    assert {finding.rule for finding in findings if finding.level == "error"} >= {
        "same-task",
        "same-family",
        "output-names",
    }


# Comparing fields, which is the default


@pytest.mark.parametrize("classes", [(T, Twin), (Sub1, Twin), (T, Twin, Writer)])
def test_identical_outputs_of_different_parents_are_accepted(classes):
    assert accepts("output-schema", *classes)
    assert not accepts("same-family", *classes)


def test_disjoint_outputs_under_one_parent_are_refused():
    assert accepts("same-family", Writer, Judge)
    assert not accepts("output-schema", Writer, Judge)
    rules = {(finding.rule, finding.field) for finding in plan(("output-schema",), (Writer, Judge)).findings}
    assert {rule for rule, _ in rules} == {"output-names"}


def test_tasks_with_several_outputs_are_accepted_where_these_are_equal():
    assert accepts("output-schema", Reviewer, Reviewer)
    assert accepts("output-schema", Reviewer, OtherReviewer)
    assert list(plan(("output-schema",), (Reviewer, OtherReviewer)).schema) == ["rationale", "score"]


def test_equal_names_are_not_enough_where_types_conflict():
    class TextScore(BaseModel):
        score: str

    class Grader(Rater):
        Output = TextScore

    assert accepts("same-family", Rater, Grader)
    assert accepts("output-names", Rater, Grader)
    assert not accepts("output-schema", Rater, Grader)


def test_some_fields_more_are_refused_unless_the_union_is_asked_for():
    assert not accepts("output-schema", Rater, Reviewer)
    assert accepts("output-union", Rater, Reviewer)
    schema = plan(("output-union",), (Rater, Reviewer)).schema
    assert {name: str(type_) for name, type_ in schema.items()} == {"score": "float?", "rationale": "str?"}


def test_one_member_is_always_compatible_with_itself():
    for cls in (T, Sub, Rater, Reviewer):
        made = plan([policy for policy in POLICIES if policy != "inputs"], (cls,))
        assert made.findings == ()


# Order

KINDS = [("t", T), ("twin", Twin), ("sub", SubSub), ("judge", Judge), ("rater", Rater), ("review", Reviewer)]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_every_order_of_the_members_agrees(count):
    pools = list(combinations(KINDS, count))[:: max(1, count - 1)][:4]
    verdicts = set()
    for members in pools:
        found = {
            (made.compatible, made.findings, tuple(made.schema.items()))
            for made in (plan_members(POLICIES, order) for order in permutations(members))
        }
        assert len(found) == 1, members
        verdicts |= {finding.rule for _, findings, _ in found for finding in findings}
    assert "same-family" in verdicts
    assert "output-names" in verdicts
