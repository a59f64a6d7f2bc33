"""What the registry knows of a plugin at each stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pool_core.api import Contribution

__all__ = ["HOOKS", "IN_PROCESS", "Entry", "Kind", "Plugin", "Record", "State"]

Kind: TypeAlias = Literal["task", "backend", "policy", "prompt_format", "reader", "writer"]

#: The hook that contributes each kind of thing.
HOOKS: dict[Kind, str] = {
    "task": "pool_tasks",
    "backend": "pool_backends",
    "policy": "pool_policies",
    "prompt_format": "pool_prompt_formats",
    "reader": "pool_readers",
    "writer": "pool_writers",
}

#: Stands for the distribution of a plugin that `Registry.register` added.
IN_PROCESS = "in-process"

#: ``active``: loaded. ``blocked``: switched off. ``incompatible``: made for another API or core.
#: ``clashing``: two distributions claim the plugin's name. ``failed``: its metadata or its entry module is broken.
State: TypeAlias = Literal["active", "blocked", "incompatible", "clashing", "failed"]


@dataclass(frozen=True, slots=True)
class Record:
    """What a distribution's metadata says of one plugin. Nothing was imported to learn it."""

    name: str
    module: str
    distribution: str
    version: str
    api_major: int
    #: Version specifiers that the distribution asks of pool-core, such as ``>=0.1,<0.2``.
    requires_core: str = ""
    editable: bool = False
    #: What is wrong with the metadata itself; such a plugin is not loaded.
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Entry:
    """One contribution and the plugin that it comes from."""

    kind: Kind
    record: Record
    contribution: Contribution

    @property
    def name(self) -> str:
        return self.contribution.name

    @property
    def qualified(self) -> str:
        """``plugin/name``: the identity, which works even when the short name is taken twice."""
        return f"{self.record.name}/{self.contribution.name}"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin and how it stands."""

    record: Record
    state: State
    #: Why it is not active, complete enough to act on.
    reason: str = ""
    entries: tuple[Entry, ...] = ()
    #: The names of the hooks that it implements beside the contributing ones.
    hooks: tuple[str, ...] = ()
