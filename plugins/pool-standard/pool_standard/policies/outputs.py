"""Policies over the members' output fields: the same names, and types that unify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.values import Finding
from pool_standard.policies.comparison import Comparison

__all__ = ["OutputNames", "OutputSchema", "OutputSchemaConfig", "OutputUnion"]


class OutputNames(Policy[PluginConfig]):
    """All members give the same names of output fields. Rule ``output-names``.

    Members that differ are compared with the names that most members give. Where two sets of names
    have equally many members, the set of the alphabetically last member counts.
    """

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding for each group of members that give other names and have the same fix."""
        comparison = Comparison(members, "output-names", open_structs=False)
        comparison.align_names()
        return list(comparison.report_names())


class OutputSchemaConfig(PluginConfig):
    """Options of `OutputSchema`."""

    open_structs: bool = Field(False, description="Structs inside a field may lack fields, which are null then.")


class OutputSchema(Policy[OutputSchemaConfig]):
    """All members give the same names, with types that unify. Rules ``output-names`` and ``output-type``.

    Types unify where each two of them do.
    """

    Config = OutputSchemaConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return the findings over names, then those over types: for each field one for each fix."""
        comparison = Comparison(members, "output-schema", open_structs=self.config.open_structs)
        comparison.align_names()
        comparison.fit_types()
        return [*comparison.report_names(), *comparison.report_types()]


class OutputUnion(Policy[PluginConfig]):
    """Members may give different fields; the types of equal names unify. Rule ``output-type``.

    A field that a member does not give is null, and so is one that a struct lacks.
    """

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding for each field whose types do not unify and each fix of it."""
        comparison = Comparison(members, "output-union", open_structs=True)
        comparison.fit_types()
        return list(comparison.report_types())
