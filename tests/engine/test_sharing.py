"""Members that share a quota: the smallest figure that any of them names holds for all."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pool_core.engine.sharing import make_quotas
from pool_core.recipe.models import Limits


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


def test_members_of_different_limits_share_nothing():
    members = [SimpleNamespace(limits=Limits(concurrency=number)) for number in (1, 2, 3)]
    backends = [SimpleNamespace(quota=name) for name in ("a", "b", "a")]
    assert {name: quota.limit for name, quota in make_quotas(members, backends).items()} == {"a": 1, "b": 2}
