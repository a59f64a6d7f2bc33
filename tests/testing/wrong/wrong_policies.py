"""A right policy, and policies that break one promise each."""

import os

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import Policy
from pool_core.interfaces.values import Finding


class RightPolicy(Policy[PluginConfig]):
    """Two members at least."""

    Config = PluginConfig
    made = 0

    def judge(self, members):
        if len(members) < 2:
            names = tuple(member.name for member in members)
            yield self.make_finding(members, names)

    def make_finding(self, members, names, **parts):
        whole = {"rule": "two", "message": "one is no pool", "hint": "add a member", "fix": "drop: [a]"} | parts
        return Finding("error", members=names, **whole)


class Accepts(RightPolicy):
    def judge(self, members):
        return []


class NeedsOne(RightPolicy):
    def judge(self, members):
        members[0]
        return super().judge(members)


class Counts(RightPolicy):
    def make_finding(self, members, names, **parts):
        type(self).made += 1
        return super().make_finding(members, names, message=f"number {self.made}")


class LooksAtFirst(RightPolicy):
    def judge(self, members):
        if members and members[0].name != "a":
            yield self.make_finding(members, (members[0].name,))


class NoHint(RightPolicy):
    def make_finding(self, members, names, **parts):
        return super().make_finding(members, names, hint=" ")


class OddRule(RightPolicy):
    def make_finding(self, members, names, **parts):
        return super().make_finding(members, names, rule="Two Members!")


class NamesStrangers(RightPolicy):
    def make_finding(self, members, names, **parts):
        return super().make_finding(members, ("stranger",))


class OddFix(RightPolicy):
    def make_finding(self, members, names, **parts):
        return super().make_finding(members, names, fix="drop: [a")


class ChangesMembers(RightPolicy):
    def judge(self, members):
        for member in members:
            dict.clear(member.outputs)
        return super().judge(members)


class ReadsFile(RightPolicy):
    def judge(self, members):
        open(os.devnull).close()
        return super().judge(members)


class NeverEnds(RightPolicy):
    def judge(self, members):
        while len(members) > 20:
            pass
        return super().judge(members)


class OrdersBySet(RightPolicy):
    def make_finding(self, members, names, **parts):
        return super().make_finding(members, names, message=" ".join({f"word-{number}" for number in range(20)}))
