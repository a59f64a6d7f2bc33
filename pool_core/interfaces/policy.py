"""The interface of a policy: may these members share a pool, and why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, get_args

from pydantic import BaseModel

from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Finding, Level

if TYPE_CHECKING:
    from pool_core.interfaces.task import Task

__all__ = ["MemberSignature", "Policy", "check_findings"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MemberSignature:
    """What a member needs and gives, after its adapters."""

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
    #: Columns of the rows and their types, as far as they were looked at; None when no rows are known.
    columns: Mapping[str, FieldType] | None = None
    #: Whether all rows were looked at; if not, later ones may have more columns.
    columns_complete: bool = True


class Policy(ABC, Generic[ConfigT]):
    """Decides whether members may share a pool.

    Total (raises nothing), deterministic, and free of order: any permutation of the members gives
    the same findings.
    """

    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Say what is wrong, with a hint for each. No finding of level ``error`` means: they fit."""


def check_findings(found: object) -> list[Finding]:
    """What a policy or hook returned, as a list. Raises `TypeError` for anything but findings that hold."""
    if not isinstance(found, Iterable):
        raise TypeError(f"it returned {type(found).__name__} instead of findings")
    findings = list(found)
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"it returned {type(finding).__name__} instead of Finding")
        if finding.level not in get_args(Level):
            raise TypeError(f"a finding has the level {finding.level!r}; levels are {', '.join(get_args(Level))}")
        if not isinstance(finding.members, tuple) or not all(isinstance(name, str) for name in finding.members):
            raise TypeError(f"the members of a finding are a tuple of names, not {finding.members!r}")
        for name in ("rule", "message", "field", "hint", "fix", "source"):
            if not isinstance(getattr(finding, name), str):
                raise TypeError(f"the {name} of a finding is text, not {getattr(finding, name)!r}")
    return findings
