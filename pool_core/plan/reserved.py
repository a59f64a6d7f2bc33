"""Output fields that bear the name of a part of the output, and the fix that gives them another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.values import Finding
from pool_core.interfaces.yaml_text import write_fix

__all__ = ["check_reserved"]


def check_reserved(signatures: Sequence[MemberSignature], reserved: Collection[str]) -> Iterator[Finding]:
    """One finding for each field and each fix of it. A member's fix cures all of its fields."""
    ordered = sorted(signatures, key=lambda member: member.name)
    given = {name for member in ordered for name in member.outputs}
    renames = {name: _choose_name(name, given) for name in sorted(given & set(reserved))}
    fixes = {member.name: _write_renames(member, renames) for member in ordered}
    for field in renames:
        groups: dict[str, list[str]] = {}
        for member in ordered:
            if field in member.outputs:
                groups.setdefault(fixes[member.name], []).append(member.name)
        for fix, members in groups.items():
            yield Finding(
                "error",
                "field-reserved",
                f"the output field {field!r} has the name of a part that every generation carries",
                members=tuple(members),
                field=field,
                hint="give it another name in the member's `outputs:`",
                fix=fix,
            )


def _choose_name(name: str, given: Collection[str]) -> str:
    new = f"my_{name}"
    while new in given:
        new = f"my_{new}"
    return new


def _write_renames(member: MemberSignature, renames: Mapping[str, str]) -> str:
    """The adapters of ``member`` under the new names, as far as they differ; nothing where they cannot be written."""

    def rename(found: Mapping[str, Any]) -> dict[str, Any]:
        return {renames.get(name, name): value for name, value in found.items()}

    adapters = member.adapters
    changed: dict[str, Any] = {
        "outputs": rename(adapters.get("outputs", {}))
        | {renames[name]: own for name, own in member.sources.items() if name in renames},
        "cast": rename(adapters.get("cast", {})),
        "collect": [renames.get(name, name) for name in adapters.get("collect", ())],
        "constant": rename(adapters.get("constant", {})),
    }
    before = {key: list(value) if key == "collect" else value for key, value in adapters.items()}
    try:
        return "\n".join(write_fix(key, value) for key, value in changed.items() if value and value != before.get(key))
    except ValueError:  # a constant from Python that YAML has no form for
        return ""
