"""Members that share a quota: the smallest figure that any of them names holds for all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from pool_core.engine.quota import End
from pool_core.engine.sharing import make_quotas
from pool_core.recipe.models import Limits
from pool_core.testing.virtual_time import run_virtual


def make(*limits):
    """The quota of members with ``limits`` that use one server."""
    members = [SimpleNamespace(limits=Limits(**each)) for each in limits]
    return make_quotas(members, [SimpleNamespace(quota="server")] * len(limits))["server"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([{"concurrency": 5}], 5),
        ([{"concurrency": 5}, {"concurrency": 3}, {"concurrency": 9}], 3),
    ],
)
def test_the_smallest_fixed_concurrency_holds(limits, expected):
    assert make(*limits).limit == expected


@pytest.mark.parametrize("name", ["rpm", "tpm"])
def test_the_smallest_rate_that_any_names_holds_for_all(name):
    def count_at_once(quota):
        return sum(quota.try_acquire(0, 10) is not None for _ in range(50))

    async def main():
        fixed = {"concurrency": 30}
        assert count_at_once(make(fixed, fixed | {name: 40}, fixed | {name: 20})) == {"rpm": 1, "tpm": 2}[name]
        assert count_at_once(make(fixed, fixed)) == 30

    run_virtual(main())


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ([{}], 256),
        ([{"max_concurrency": 30}, {"max_concurrency": 50}], 30),
        ([{"max_concurrency": 30}, {"concurrency": 20}], 20),
        ([{"max_concurrency": 2}, {"concurrency": 20}], 2),
        ([{"concurrency": 20, "max_concurrency": 1}, {}], 20),
    ],
)
def test_what_adapts_reaches_no_more_than_any_allows(limits, most):
    async def main():
        quota = make(*limits)
        for _ in range(20):
            held = []
            while (place := quota.try_acquire(0)) is not None:
                held.append(place)
            await asyncio.sleep(1)
            for place in held:
                quota.release(place, End.ANSWERED)
        return quota.limit

    assert run_virtual(main()) == most


def test_members_of_different_limits_share_nothing():
    members = [SimpleNamespace(limits=Limits(concurrency=number)) for number in (1, 2, 3)]
    backends = [SimpleNamespace(quota=name) for name in ("a", "b", "a")]
    assert {name: quota.limit for name, quota in make_quotas(members, backends).items()} == {"a": 1, "b": 2}
