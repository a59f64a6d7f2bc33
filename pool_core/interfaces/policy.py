"""The interface of a policy: may these members share a pool, and why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

import pool_core.first_model  # noqa: F401 - before the first model of this module
from pool_core.interfaces.types import ANY, NULL, Conflict, FieldType, unify
from pool_core.interfaces.values import Finding, Level

if TYPE_CHECKING:
    from pool_core.interfaces.task import Task

__all__ = [
    "SLOW_SECONDS",
    "MemberSignature",
    "NamedPolicy",
    "Policy",
    "PolicySpec",
    "check_findings",
    "expand_combination",
    "merge_schema",
    "note_slowness",
]

#: Seconds that one policy or hook may take.
SLOW_SECONDS = 1.0

ConfigT = TypeVar("ConfigT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MemberSignature:
    """What a member needs and gives, after its adapters. In a plan all of it is read-only."""

    name: str
    #: Qualified name of the task, such as ``standard/text-generation``.
    task: str
    task_class: type[Task]  # type: ignore[type-arg]
    #: The task's input to the column of the rows that it is read from.
    inputs: Mapping[str, str]
    #: The pool's output field to its type.
    outputs: Mapping[str, FieldType]
    #: The pool's output field to the task's own field that it is read from.
    sources: Mapping[str, str]
    #: The task's own fields and their types, before any adapter.
    fields: Mapping[str, FieldType] = dataclass_field(default_factory=dict)
    #: The adapters that the recipe gives this member, as they stand there: ``outputs``, ``drop``,
    #: ``cast``, ``collect``, ``constant``, ``inputs``. A fix replaces the whole of those that it names.
    adapters: Mapping[str, Any] = dataclass_field(default_factory=dict)
    #: Columns of the rows and their types, as far as they were looked at; None when no rows are known.
    columns: Mapping[str, FieldType] | None = None
    #: Whether these are the columns of all rows; if not, later ones may have more.
    columns_complete: bool = True
    #: False where its ``when`` admits no row, and all were looked at: what the rows lack fails no cell of it.
    asked: bool = True


class PolicySpec(BaseModel):
    """A policy named inside another one's configuration: ``{use: name, ...its configuration}``.

    A policy that combines others declares a field of this type, or of a list of it. The plan
    resolves and validates each and hands the policies to `Policy.build`, in order.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, data: Any) -> Any:
        return {"use": data} if isinstance(data, str) else expand_combination(data)


def expand_combination(value: Any) -> Any:
    """``any_of: [...]`` and ``all: [...]`` as ``use`` with ``policies``; anything else as it is."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, policies),) = value.items()
        if name in ("any_of", "all"):
            return {"use": name, "policies": policies}
    return value


class NamedPolicy(NamedTuple):
    """A policy and the name that its findings carry."""

    name: str
    policy: Policy[Any]


class Policy(ABC, Generic[ConfigT]):
    """Decides whether members may share a pool.

    Total (raises nothing), deterministic, and free of order: any permutation of the members gives
    the same findings.
    """

    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @classmethod
    def build(cls, config: ConfigT, inner: Sequence[NamedPolicy]) -> Self:
        """Make the policy. ``inner`` has the policies of the configuration's `PolicySpec` fields, in order.

        Raises:
            ValueError: the policy cannot work with this configuration; the plan adds the place.
        """
        return cls(config)

    @abstractmethod
    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Say what is wrong, with a hint for each. No finding of level ``error`` means: they fit."""


def merge_schema(members: Sequence[MemberSignature]) -> dict[str, FieldType]:
    """Every output field, in name order, and the type that holds all members' values.

    ``any`` where they conflict. Every field can be null: where its cell failed, and where a member
    does not give it. Does not depend on the members' order.
    """
    given: dict[str, dict[FieldType, None]] = {}
    for member in members:
        for name, type_ in member.outputs.items():
            given.setdefault(name, {})[type_] = None
    return {name: _merge(types) for name, types in sorted(given.items())}


def _merge(types: Iterable[FieldType]) -> FieldType:
    merged = NULL
    for type_ in types:
        unified = unify(merged, type_, open_structs=True)
        if isinstance(unified, Conflict):
            return ANY
        merged = unified
    return merged


def check_findings(found: object) -> list[Finding]:
    """What a policy or hook returned, as a list. Raises `TypeError` for anything but findings that hold."""
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise TypeError(f"it returned {type(found).__name__} instead of findings")
    findings = list(found)
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"it returned {type(finding).__name__} instead of Finding")
        if finding.level not in get_args(Level):
            raise TypeError(f"a finding has the level {finding.level!r}; levels are {', '.join(get_args(Level))}")
        if not isinstance(finding.members, tuple) or not all(isinstance(name, str) for name in finding.members):
            raise TypeError(f"the members of a finding are a tuple of names, not {finding.members!r}")
        for name in ("rule", "message", "field", "hint", "fix", "source", "key"):
            if not isinstance(getattr(finding, name), str):
                raise TypeError(f"the {name} of a finding is text, not {getattr(finding, name)!r}")
    return findings


def note_slowness(label: str, source: str, seconds: float) -> Iterator[Finding]:
    """A warning where a check took longer than it may: a person waits for it before every run."""
    if seconds > SLOW_SECONDS:
        yield Finding(
            "warning",
            "check-slow",
            f"{label} took {seconds:.1f} s; a check may take {SLOW_SECONDS:g} s",
            hint="report it to its authors: checks see plain data and need not be slow",
            source=source,
        )
