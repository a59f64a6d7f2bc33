"""What the engine does for backends that outlive a kill: a folder, keys that stay, word of what is durable."""

from __future__ import annotations

import pytest

from pool_core.engine import run as run_module
from pool_core.errors import BackendError, RecipeError, StoreError
from pool_core.interfaces.values import Capabilities, Cause
from pool_core.plan.build import make_plan
from pool_core.recipe.models import Limits, Member, PoolSpec, Recipe
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry


class Keeping(ScriptedBackend):
    """Notes in which order things happen to it."""

    def __init__(self, script):
        super().__init__(script)
        self.seen = []

    async def open(self):
        self.seen.append(self.folder)

    def note_durable(self):
        self.seen.append("durable")

    async def aclose(self):
        self.seen.append("closed")


def test_a_backend_has_a_folder_and_is_told_what_is_durable_before_it_is_closed(make_member, run_members, tmp_path):
    backend = Keeping(lambda _: "yes")
    assert run_members([make_member("a", backend)], 3).status == "complete"
    assert backend.seen == [tmp_path / "run" / "backends", "durable", "closed"]


def test_a_run_that_could_not_write_tells_nothing_durable(make_member, run_members, monkeypatch):
    close = run_module._close_writer

    async def fail(writer):
        await close(writer)
        raise StoreError("the disk is full")

    monkeypatch.setattr(run_module, "_close_writer", fail)
    backend = Keeping(lambda _: "yes")
    with pytest.raises(StoreError, match="the disk is full"):
        run_members([make_member("a", backend)], 3)
    assert backend.seen[1:] == ["closed"]


def test_a_backend_that_breaks_when_it_is_told_ends_no_run(make_member, run_members):
    class Broken(Keeping):
        def note_durable(self):
            raise KeyError("x")

    summary = run_members([make_member("a", Broken(lambda _: "yes"))], 3)
    assert summary.status == "complete"
    assert "the backend scripted does not let go of what is done: KeyError: 'x'" in summary.notes


def test_a_request_has_one_key_in_every_start_and_each_its_own(make_member, run_members):
    keys = []

    def fail(request):
        keys.append(request.key)
        return BackendError(Cause.BAD_REQUEST, "no")

    for _ in range(2):
        run_members([make_member("a", fail)], 3)
    assert keys[:3] == keys[3:]
    assert len(set(keys)) == 3
    assert {len(key) for key in keys} == {16}


def plan(limits, suiting):
    class Suited(ScriptedBackend):
        @classmethod
        def capabilities(cls, config, inner):
            return Capabilities(limits=suiting)

    member = Member(name="a", backend=Suited(str), task=EchoTask(), limits=limits)
    return make_plan(Recipe(pool=PoolSpec(members=(member,), policies=())), make_registry()).members[0]


def test_limits_that_suit_a_backend_hold_where_the_recipe_says_nothing():
    suiting = {"timeout": 900.0, "concurrency": 50}
    found = plan(Limits(timeout=5), suiting).limits
    assert (found.timeout, found.concurrency, found.attempts) == (5.0, 50, Limits().attempts)
    assert plan(Limits(), {}).limits == Limits()


@pytest.mark.parametrize("suiting", [{"timeout": -1}, {"patience": 1}])
def test_limits_that_are_none_are_the_backends_fault(suiting):
    with pytest.raises(RecipeError, match="the backend Suited names limits that are none: ") as caught:
        plan(Limits(), suiting)
    assert caught.value.hint == "report it to its authors"
