"""The policy: a recipe that names ``odd-number`` wants to count votes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.values import Finding

__all__ = ["OddNumber"]


class OddNumber(Policy[PluginConfig]):
    """The pool has an odd number of members, so that a vote between two labels is never a draw."""

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        if len(members) % 2 == 0:
            yield Finding(
                "error",
                "odd-number",
                f"{len(members)} members can be of two minds; a vote needs an odd number",
                hint="add a member or take one away",
            )
