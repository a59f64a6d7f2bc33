"""What a recipe makes of findings: rules that it silences, with a reason, and rules that it raises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from pool_core.errors import RecipeError
from pool_core.plan.build import make_plan
from pool_core.recipe.load import load_recipe
from pool_core.recipe.models import Member, PoolSpec


def echo(name="a", **keys):
    return Member(name=name, **{"backend": "echo", "task": "echo", **keys})


def test_a_recipe_can_silence_a_rule_with_a_reason_and_raise_another(plan):
    member = echo(sampling={"seed": 7}, backend={"use": "echo", "model": "x", "seed": False})
    (warning,) = plan(member).findings
    raised = plan(member, findings={"escalate": ["parameter-ignored"]})
    assert raised.findings == (replace(warning, level="error"),)
    assert not raised.compatible
    silenced = plan(member, findings={"silence": {"parameter-ignored": "this server has no seed"}})
    assert (silenced.findings, silenced.silenced) == ((), (warning,))


def test_a_word_on_a_rule_that_no_finding_has_is_an_info(plan):
    made = plan(echo(), findings={"escalate": ["rendr"], "silence": {"format-unused": "we know"}})
    assert [(finding.level, finding.rule, finding.message) for finding in made.findings] == [
        ("info", "rule-unused", "the recipe has a word on 'format-unused', and there is no such finding"),
        ("info", "rule-unused", "the recipe has a word on 'rendr', and there is no such finding"),
    ]


def test_a_silence_needs_a_reason():
    with pytest.raises(ValidationError, match="needs a reason, as in"):
        PoolSpec(members=(echo(),), findings={"silence": {"x": " "}})


@pytest.mark.parametrize(
    ("rule", "way"),
    [
        ("output-taken", "give the output another name"),
        ("field-reserved", "give the field another name, as the finding proposes"),
        ("column-taken", "rename the column, or choose another layout"),
        ("samples-many", "lower `samples`"),
        ("samples-uneven", "change `samples`, or write `assign: balanced`"),
        ("policy-failed", "take the policy out of `policies:`"),
        ("hook-failed", "block the plugin: `plugins: {block: [...]}`, or --block"),
    ],
)
def test_what_is_no_opinion_cannot_be_silenced(registry, tmp_path, rule, way):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "pool:\n  policies: []\n  members: [{name: a, backend: echo, task: echo}]\n"
        f"  findings:\n    silence:\n      render: we know\n      {rule}: we know\n"
    )
    recipe, source = load_recipe(path)
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, registry, source)
    assert str(caught.value) == (
        f"{path}:7: pool.findings.silence.{rule}: the rule {rule!r} cannot be silenced\n  {way}"
    )


def test_the_word_on_unused_rules_counts_as_well(plan):
    unused = {"silence": {"nonsense": "x", "rule-unused": "we keep them"}}
    made = plan(echo(), findings=unused)
    assert (made.findings, [finding.rule for finding in made.silenced]) == ((), ["rule-unused"])
    made = plan(echo(), findings={"escalate": ["nonsense", "rule-unused"]})
    assert [(finding.level, finding.rule) for finding in made.findings] == [("error", "rule-unused")]
    assert plan(echo(), findings={"escalate": ["rule-unused"]}).findings == ()
