"""Fields that bear the name of a part of the output: each member gets a fix that can be pasted, and that cures."""

from __future__ import annotations

from pathlib import Path

from pool_core.recipe.models import Member
from pool_core.recipe.yaml_source import read_yaml
from pool_core.testing.scripted import CodeTask


def code(name="a", **keys):
    return Member(name=name, **{"backend": "echo", "task": "code", **keys})


def test_the_fix_of_a_reserved_field_is_merged_with_the_members_adapters(plan):
    class Status(CodeTask):
        class Output(CodeTask.Output):
            status: str
            model: int
            my_model: str

    adapters = [
        {},
        {},
        {
            "outputs": {"text": "code"},
            "cast": {"model": "float", "text": "str"},
            "collect": ["model", "status"],
            "constant": {"raw": [1]},
        },
    ]
    members = [code(name, task=Status(), **keys) for name, keys in zip("abc", adapters, strict=True)]
    found = [finding for finding in plan(*members).findings if finding.rule == "field-reserved"]
    plain = "outputs: {my_my_model: model, my_status: status}"
    full = "\n".join(
        (
            "outputs: {my_my_model: model, my_status: status, text: code}",
            "cast: {my_my_model: float, text: str}",
            "collect: [my_my_model, my_status]",
            "constant: {my_raw: [1]}",
        )
    )
    assert [(finding.field, finding.members, finding.fix) for finding in found] == [
        ("model", ("a", "b"), plain),
        ("model", ("c",), full),
        ("raw", ("c",), full),
        ("status", ("a", "b"), plain),
        ("status", ("c",), full),
    ]
    cured = [
        code(member.name, task=Status(), **{**keys, **read_yaml(plain if member.name in "ab" else full, Path("x"))[0]})
        for member, keys in zip(members, adapters, strict=True)
    ]
    assert plan(*cured).findings == ()
