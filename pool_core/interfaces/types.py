"""The types of output fields: a small closed set, and its algebra. `model_types` reads them off pydantic models.

``unify`` is the heart of the compatibility of members: it gives the type that holds the values of
both, or the first place where they conflict. It is commutative, associative and idempotent on types
that are read off models and values (their structs are in name order), so the order of a pool's
members never matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

__all__ = [
    "ANY",
    "NULL",
    "Conflict",
    "FieldType",
    "accepts",
    "holds_any",
    "infer_type",
    "make_struct",
    "merge_types",
    "subsumes",
    "unify",
]

Kind: TypeAlias = Literal["null", "bool", "int", "float", "str", "literal", "list", "struct", "map", "any"]


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field."""

    kind: Kind
    nullable: bool = False
    #: Of a list: its items. Of a map (string keys): its values.
    items: FieldType | None = None
    #: Of a struct: its fields, in name order where they come from a model or a value.
    fields: tuple[tuple[str, FieldType], ...] = ()
    #: Of a literal: its strings in order.
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case "list" | "map":
                text = f"{self.kind}[{self.items}]"
            case "struct":
                text = "{" + ", ".join(f"{_write_name(name)}: {type_}" for name, type_ in self.fields) + "}"
            case "literal":
                text = " | ".join(repr(value) for value in self.values)
            case _:
                text = self.kind
        return f"{text}?" if self.nullable and self.kind not in ("null", "any") else text


def _write_name(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else repr(name)


NULL = FieldType("null", nullable=True)
ANY = FieldType("any", nullable=True)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two types that no type without loss holds, and where inside the field they differ."""

    left: FieldType
    right: FieldType
    path: str = ""


_SCALARS: dict[Any, FieldType] = {
    type(None): NULL,
    bool: FieldType("bool"),
    int: FieldType("int"),
    float: FieldType("float"),
    str: FieldType("str"),
}


def make_struct(fields: Mapping[str, FieldType]) -> FieldType:
    """A struct of these fields, in name order."""
    return FieldType("struct", fields=tuple(sorted(fields.items())))


def holds_any(type_: FieldType) -> bool:
    """Whether ``type_`` is ``any`` or has it inside."""
    inner = [found for _, found in type_.fields] if type_.items is None else [type_.items]
    return type_.kind == "any" or any(map(holds_any, inner))


def infer_type(value: Any) -> FieldType:
    """The narrowest type of a plain JSON value."""
    if isinstance(value, Mapping):
        return make_struct({str(name): infer_type(item) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return FieldType("list", items=merge_types(infer_type(item) for item in value))
    return _SCALARS.get(type(value), ANY)


def merge_types(found: Iterable[FieldType]) -> FieldType:
    """The one type that holds all of ``found``: ``any`` where they conflict, ``null`` where there is none."""
    merged: FieldType | None = None
    for type_ in found:
        unified = type_ if merged is None else unify(merged, type_)
        merged = ANY if isinstance(unified, Conflict) else unified
    return merged or NULL


def unify(left: FieldType, right: FieldType, path: str = "", *, open_structs: bool = False) -> FieldType | Conflict:
    """The type that holds the values of both without loss, or the first conflict.

    ``int`` widens to ``float``, a literal to ``str``, anything to its nullable form. ``any`` unifies
    with itself alone: what is not known proves nothing. With ``open_structs`` a struct may lack
    fields of the other, which become nullable; else both have the same names.
    """
    if left == right:
        return left
    nullable = left.nullable or right.nullable
    if left.kind == "null":
        return replace(right, nullable=True)
    if right.kind == "null":
        return replace(left, nullable=True)
    if left.kind != right.kind:
        wider = _WIDER.get(frozenset((left.kind, right.kind)))
        return Conflict(left, right, path) if wider is None else FieldType(wider, nullable)
    match left.kind:
        case "literal":
            return FieldType("literal", nullable, values=tuple(sorted({*left.values, *right.values})))
        case "list" | "map":
            items = unify(left.items or ANY, right.items or ANY, f"{path}[]", open_structs=open_structs)
            return items if isinstance(items, Conflict) else replace(left, nullable=nullable, items=items)
        case "struct":
            return _unify_structs(left, right, path, open_structs=open_structs)
        case _:
            return replace(left, nullable=nullable)


def subsumes(wide: FieldType, narrow: FieldType, *, open_structs: bool = False) -> bool:
    """Whether every value of ``narrow`` is a value of ``wide``: nothing is left to widen."""
    return unify(wide, narrow, open_structs=open_structs) == wide


def accepts(wanted: FieldType, found: FieldType) -> bool:
    """Whether values of ``found`` can be read where ``wanted`` is asked for; ``any`` asks for nothing.

    Unlike `subsumes` it is lenient where only some values may not fit: null and fields that may be missing.
    """
    if "any" in (wanted.kind, found.kind) or found.kind == "null":
        return True
    if wanted.items is not None and found.items is not None and wanted.kind == found.kind:
        return accepts(wanted.items, found.items)
    if wanted.kind == found.kind == "struct":
        theirs = dict(found.fields)
        return all(accepts(type_, theirs[name]) for name, type_ in wanted.fields if name in theirs)
    if wanted.kind == "map" and found.kind == "struct" and wanted.items is not None:
        return all(accepts(wanted.items, type_) for _, type_ in found.fields)
    merged = unify(replace(wanted, nullable=True), replace(found, nullable=True), open_structs=True)
    return not isinstance(merged, Conflict) and merged.kind in (wanted.kind, "str")


#: What holds both of two kinds.
_WIDER: dict[frozenset[Kind], Kind] = {frozenset(("int", "float")): "float", frozenset(("literal", "str")): "str"}


def _unify_structs(left: FieldType, right: FieldType, path: str, *, open_structs: bool) -> FieldType | Conflict:
    ours, theirs = dict(left.fields), dict(right.fields)
    if ours.keys() != theirs.keys() and not open_structs:
        return Conflict(left, right, path)
    fields: list[tuple[str, FieldType]] = []
    for name in sorted(ours.keys() | theirs.keys()):
        place = f"{path}.{name}" if path else name
        merged = unify(ours.get(name, NULL), theirs.get(name, NULL), place, open_structs=open_structs)
        if isinstance(merged, Conflict):
            return merged
        fields.append((name, merged))
    return FieldType("struct", left.nullable or right.nullable, fields=tuple(fields))
