"""The contract: a file in which the downstream owner fixes the merged schema.

::

    # what the reader of output.jsonl relies on
    contract: 1
    fields:
      generation: str?
      score: float?

A new field does not break a reader. A field that is gone, or whose values no longer all fit the
type that the contract names, does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType, subsumes

__all__ = ["Change", "compare_schemas", "read_contract", "write_contract"]

VERSION = 1

ChangeKind: TypeAlias = Literal["added", "removed", "retyped", "narrowed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a contract and a schema."""

    kind: ChangeKind
    field: str
    #: The type in the contract, None for an added field.
    old: FieldType | None
    #: The type today, None for a removed field.
    new: FieldType | None

    @property
    def breaking(self) -> bool:
        """Whether a reader who relies on the contract can fail."""
        return self.kind in ("removed", "retyped")

    def __str__(self) -> str:
        match self.kind:
            case "added":
                return f"+ {self.field}: {self.new}"
            case "removed":
                return f"- {self.field}: {self.old}"
            case _:
                return f"~ {self.field}: {self.old} -> {self.new}"


def compare_schemas(contract: Mapping[str, FieldType], schema: Mapping[str, FieldType]) -> Iterator[Change]:
    """The differences, in order of the fields' names."""
    for name in sorted(contract.keys() | schema.keys()):
        old, new = contract.get(name), schema.get(name)
        if old is None:
            yield Change("added", name, None, new)
        elif new is None:
            yield Change("removed", name, old, None)
        elif old != new:
            fits = old.kind == "any" or subsumes(old, new, open_structs=True)
            yield Change("narrowed" if fits else "retyped", name, old, new)


def read_contract(data: Any) -> dict[str, FieldType]:
    """The schema that a contract fixes, from the file's plain data.

    Raises:
        ValueError: it is no contract; the message says what is wrong.
    """
    if not isinstance(data, Mapping) or set(data) != {"contract", "fields"}:
        raise ValueError("a contract has the keys `contract` and `fields`, and no other")
    if data["contract"] != VERSION:
        raise ValueError(f"the contract is of version {data['contract']!r}, this pool-core reads {VERSION}")
    fields = data["fields"]
    if not isinstance(fields, Mapping):
        raise ValueError("`fields` is a mapping of names to types")  # noqa: TRY004 - the file is wrong, not a call
    schema = {}
    for name, text in fields.items():
        if not isinstance(text, str):
            raise ValueError(f"the type of {name!r} must be text, as in `str?`")  # noqa: TRY004
        try:
            schema[name] = parse_type(text)
        except ValueError as error:
            raise ValueError(f"the type of {name!r}: {error}") from error
    return schema


def write_contract(schema: Mapping[str, FieldType]) -> str:
    """A contract that fixes ``schema``, as YAML."""
    lines = ["# What readers of the merged output rely on. `pool contract check` enforces it.", f"contract: {VERSION}"]
    lines.append("fields:" if schema else "fields: {}")
    lines += [f"  {_quote(name)}: {_quote(str(type_))}" for name, type_ in sorted(schema.items())]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Text as a YAML scalar, quoted where it would not be plain text."""
    if text.rstrip("?").isidentifier() and text not in ("null", "true", "false", "Null", "True", "False"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
