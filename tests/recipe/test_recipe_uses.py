"""Plugins by name in a recipe, from a file and from Python alike."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pool_core.recipe.models import Member, PoolSpec
from pool_core.recipe.uses import Use, UseBackend

MEMBER = {"name": "a", "backend": "fixed", "task": "echo"}


def test_a_name_alone_stands_for_a_mapping_with_use():
    member = Member(**MEMBER | {"backend": {"use": "fixed", "model": "m", "port": 1}})
    assert (member.task.use, member.task.options, member.task.instance) == ("echo", {}, None)
    assert (member.backend.use, member.backend.options) == ("fixed", {"model": "m", "port": 1})
    assert member.prompt_format is None


def test_a_use_is_taken_as_it_is():
    use = Use(use="fixed", model="m")
    assert Member(**MEMBER | {"task": use}).task is use
    placed = UseBackend(use="fixed", model="m", device=0)
    assert Member(**MEMBER | {"backend": placed}).backend is placed


def test_a_use_of_a_backend_can_say_where_it_runs():
    made = Member(**MEMBER | {"backend": Use(use="fixed", model="m", device=0)}).backend
    assert (made.use, made.device, made.options) == ("fixed", "0", {"model": "m"})
    ready = Member(**MEMBER | {"backend": [].append}).backend
    assert Member(**MEMBER | {"backend": ready}).backend is ready


def test_a_ready_object_stands_for_itself():
    class Echo:
        pass

    def judge(members):
        return []

    echo = Echo()
    pool = PoolSpec(members=[Member(**MEMBER | {"task": echo})], policies=[judge, "inputs"])
    assert pool.members[0].task.instance is echo
    assert [(policy.use, policy.instance) for policy in pool.policies] == [("judge", judge), ("inputs", None)]
    assert pool.members[0].task.use == "Echo"


@pytest.mark.parametrize("value", [None, 5, True, 1.5, ["fixed"]])
def test_what_no_plugin_can_be_named_by_is_refused(value):
    with pytest.raises(ValidationError) as caught:
        Member(**MEMBER | {"backend": value})
    [error] = caught.value.errors(include_url=False)
    assert (error["loc"], error["type"]) == (("backend",), "model_type")
