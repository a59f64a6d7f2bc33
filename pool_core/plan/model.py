"""The plan and its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from pool_core.interfaces.backend import Backend
from pool_core.interfaces.frozen import FrozenDict, freeze
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Capabilities, Finding, Row
from pool_core.plan.adapt import Adapter
from pool_core.plan.prices import TokenPrice
from pool_core.plan.rows import ProtectedRows, RowSource
from pool_core.recipe.models import Hedge, Limits, Reask, Recipe, StopWhen
from pool_core.recipe.yaml_source import Source

if TYPE_CHECKING:
    from pool_core.isolation.messages import SentBackend
    from pool_core.templates import Expression

__all__ = ["BackendPlan", "MemberParts", "Plan", "PlannedMember"]


@dataclass(frozen=True, slots=True)
class MemberParts:
    """What a member's requests and the reading of its answers rest on: by name of the part, such as
    ``sampling.temperature``, a text that changes with it.
    """

    request: Mapping[str, str]
    reading: Mapping[str, str]
    #: Whether nothing else can change them: the code of editable installations and of objects can.
    request_known: bool
    reading_known: bool


ConfiguredT = TypeVar("ConfiguredT", Task[Any], PromptFormat[Any])


@dataclass(frozen=True, slots=True)
class BackendPlan:
    """A backend that is resolved and validated, and not made yet."""

    #: Qualified name, such as ``openai/openai``.
    name: str
    factory: type[Backend[Any]] | None
    config: BaseModel | None
    inner: Mapping[str, BackendPlan] = field(default_factory=dict)
    #: The ready object, where Python gave one.
    instance: Backend[Any] | None = None
    #: How its own process is watched, and what that sees of the machine's devices; None: it runs in this process.
    isolation: Isolation | None = None
    device: str | None = None

    def build(self) -> Backend[Any]:
        """Make the backend, the inner ones first. Contacts nothing: that is for `Backend.open`.

        Raises:
            PluginError: it cannot be sent to a process of its own.
        """
        if self.instance is not None:
            return self.instance
        assert self.factory is not None
        made = self.factory.build(self.config, {name: plan.build() for name, plan in self.inner.items()})
        if self.isolation is None:
            return made
        from pool_core.isolation.backend import Isolated  # noqa: PLC0415 - needs the event loop; a check does not

        sent = self.describe_for_process()
        bills = self.describe_capabilities().offer is not None
        return Isolated(made, sent, self.isolation, self.device, bills=bills)

    def describe_for_process(self) -> SentBackend:
        """What another process needs to make the backend. Raises `PluginError` where it cannot be described."""
        from pool_core.isolation.messages import describe_backend  # noqa: PLC0415 - as above

        assert self.factory is not None
        assert self.config is not None
        inner = {name: plan.describe_for_process() for name, plan in self.inner.items()}
        return describe_backend(self.name, self.factory, self.config, inner)

    def describe_capabilities(self) -> Capabilities:
        """What the backend will be able to do, without making it."""
        inner = {name: plan.describe_capabilities() for name, plan in self.inner.items()}
        factory = self.factory or type(self.instance)
        config = self.config if self.instance is None else self.instance.config
        return factory.capabilities(config, inner)  # type: ignore[union-attr]

    def protect(self) -> BackendPlan:
        """The same with a configuration that cannot be changed, see `Plan.protect`."""
        inner = FrozenDict({name: plan.protect() for name, plan in self.inner.items()})
        return replace(self, config=freeze(self.config), inner=inner)


@dataclass(frozen=True, slots=True)
class PlannedMember:
    """A member, ready to run."""

    index: int
    name: str
    task: Task[Any]
    task_name: str
    backend: BackendPlan
    capabilities: Capabilities
    #: The sampling parameters that were set, without the seed.
    sampling: Mapping[str, Any]
    seed: int | None
    limits: Limits
    adapter: Adapter
    prompt_format: PromptFormat[Any] | None
    when: Expression | None
    weight: float
    signature: MemberSignature
    #: What its tokens cost; None: not known.
    price: TokenPrice | None = None
    #: Parameters that the recipe sets and the backend does not take; they are not sent.
    ignored: tuple[str, ...] = ()
    #: What is asked and how it is read, part by part.
    parts: MemberParts | None = None
    #: Changes when anything changes that shapes requests; None: not known, look at every request.
    request_fingerprint: str | None = None
    #: Changes when anything changes that shapes how answers are read; None: not known.
    parse_fingerprint: str | None = None
    reask: Reask | None = None
    #: Name of the member that takes cells over whose calls fail.
    fallback: str | None = None
    hedge: Hedge | None = None
    stop_when: StopWhen | None = None

    def protect(self) -> PlannedMember:
        """The same for foreign eyes, see `Plan.protect`."""
        return replace(
            self,
            task=_protect_configured(self.task),
            prompt_format=self.prompt_format and _protect_configured(self.prompt_format),
            sampling=freeze(self.sampling),
            backend=self.backend.protect(),
        )


def _protect_configured(part: ConfiguredT) -> ConfiguredT:
    """A copy with a configuration that cannot be changed. What it made of that for itself is shared."""
    copied = copy(part)
    if "config" in vars(part):
        vars(copied)["config"] = freeze(part.config)
    return copied


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe resolved: what is going to run, and whether it may."""

    recipe: Recipe
    source: Source | None
    members: tuple[PlannedMember, ...]
    rows: RowSource | None
    #: The first rows, as many as were looked at.
    sample: Sequence[Row]
    #: Columns of the rows and their types, as far as they were looked at.
    columns: Mapping[str, FieldType] | None
    #: Whether all rows were looked at.
    sample_complete: bool
    #: The pool's output fields in name order and the type that holds every member's values.
    schema: Mapping[str, FieldType]
    findings: tuple[Finding, ...]
    #: Says how many samples each member gives for a row: (position, row id, row) -> one byte per member.
    assign: Callable[[int, str, Row], bytes]
    #: The plugins that were active: name, distribution, version, editable.
    provenance: Sequence[Mapping[str, Any]]
    #: Findings that the recipe silences; the reasons stand in `Recipe`.
    silenced: tuple[Finding, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.source.folder if self.source else Path.cwd()

    @property
    def signatures(self) -> tuple[MemberSignature, ...]:
        return tuple(member.signature for member in self.members)

    @property
    def compatible(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def protect(self) -> Plan:
        """The same plan for foreign eyes: nothing in it can be changed, and this one does not rest on it.

        Ready objects of Python's that the recipe or a `BackendPlan` holds, and what tasks and prompt formats
        made of their configurations, are the plan's own.
        """
        return replace(
            self,
            recipe=freeze(self.recipe),
            source=self.source and replace(self.source, lines=freeze(self.source.lines)),
            members=tuple(member.protect() for member in self.members),
            rows=self.rows and ProtectedRows(self.rows),
            sample=tuple(map(freeze, self.sample)),
            schema=freeze(self.schema),
            provenance=tuple(map(freeze, self.provenance)),
        )
