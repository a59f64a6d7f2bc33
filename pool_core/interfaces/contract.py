"""The contract: a file in which the downstream owner fixes the merged schema.

::

    # what the reader of output.jsonl relies on
    contract: 1
    fields:
      generation: str?
      score: float?

A new field does not break a reader. A field that is gone, or whose values no longer all fit the
type that the contract names, does. The same holds for the fields of structs inside a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import ANY, FieldType
from pool_core.interfaces.yaml_text import quote_text

__all__ = ["Change", "ContractError", "compare_schemas", "fits_contract", "read_contract", "write_contract"]

VERSION = 1


class ContractError(ValueError):
    """A file is no contract."""

    def __init__(self, message: str, *key: str) -> None:
        super().__init__(message)
        #: Where in the file.
        self.key = key


ChangeKind: TypeAlias = Literal["added", "removed", "retyped", "narrowed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a contract and a schema."""

    kind: ChangeKind
    field: str
    #: The type in the contract, None for a field that is new there. What is added may also be inside of a field.
    old: FieldType | None
    #: The type today, None for a removed field.
    new: FieldType | None

    @property
    def breaking(self) -> bool:
        """Whether a reader who relies on the contract can fail."""
        return self.kind in ("removed", "retyped")

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.field}: {self.new}"
        if self.new is None:
            return f"- {self.field}: {self.old}"
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
            kind: ChangeKind = "added" if _has_more(old, new) else "narrowed"
            yield Change(kind if fits_contract(old, new) else "retyped", name, old, new)


def fits_contract(contract: FieldType, type_: FieldType) -> bool:
    """Whether a reader of ``contract`` can read every value of ``type_``; fields that it does not know do not harm."""
    if contract.kind == "any":
        return True
    if type_.nullable and not contract.nullable:
        return False
    if type_.kind == "null" or (contract.kind, type_.kind) in (("float", "int"), ("str", "literal")):
        return True
    if contract.kind != type_.kind:
        return False
    theirs = dict(type_.fields)
    return (
        set(type_.values) <= set(contract.values)
        and fits_contract(contract.items or ANY, type_.items or ANY)
        and all(name in theirs and fits_contract(wanted, theirs[name]) for name, wanted in contract.fields)
    )


def _has_more(contract: FieldType, type_: FieldType) -> bool:
    """Whether a struct inside of ``type_`` has a field that it does not have in ``contract``."""
    if contract.kind != type_.kind:
        return False
    if contract.items is not None and type_.items is not None:
        return _has_more(contract.items, type_.items)
    ours = dict(contract.fields)
    return any(name not in ours or _has_more(ours[name], found) for name, found in type_.fields)


def read_contract(data: Any) -> dict[str, FieldType]:
    """The schema that a contract fixes, from the file's plain data.

    Raises:
        ContractError: it is no contract; the message says what is wrong.
    """
    if not isinstance(data, Mapping) or set(data) != {"contract", "fields"}:
        raise ContractError("a contract has the keys `contract` and `fields`, and no other")
    version, fields = data["contract"], data["fields"]
    if type(version) is not int or version != VERSION:
        raise ContractError(f"the contract is of version {version!r}, this pool-core reads {VERSION}", "contract")
    if not isinstance(fields, Mapping):
        raise ContractError("`fields` is a mapping of names to types", "fields")
    schema = {}
    for name, text in fields.items():
        if not isinstance(text, str):
            quote = "; quote it" if text is None or isinstance(text, Mapping | list) else ""
            raise ContractError(f"the type of {name!r} must be text, as in `str?`{quote}", "fields", name)
        try:
            schema[name] = parse_type(text)
        except ValueError as error:
            raise ContractError(f"the type of {name!r}: {error}", "fields", name) from error
    return schema


def write_contract(schema: Mapping[str, FieldType]) -> str:
    """A contract that fixes ``schema``, as YAML."""
    lines = ["# What readers of the merged output rely on. `pool contract check` enforces it.", f"contract: {VERSION}"]
    lines.append("fields:" if schema else "fields: {}")
    lines += [f"  {_quote(name)}: {_quote(str(type_))}" for name, type_ in sorted(schema.items())]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Text as a YAML scalar; a nullable type needs no quotes."""
    return text if quote_text(text.removesuffix("?")) == text.removesuffix("?") != "" else quote_text(text)
