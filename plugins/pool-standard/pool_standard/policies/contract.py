"""The policy contract: the merged schema satisfies a file that its readers keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeAlias

from pydantic import Field

from pool_core.errors import RecipeError
from pool_core.interfaces.config import PluginConfig, RecipePath
from pool_core.interfaces.contract import Change, ContractError, compare_schemas, fits_contract, read_contract
from pool_core.interfaces.policy import MemberSignature, NamedPolicy, Policy, merge_schema
from pool_core.interfaces.types import ANY, NULL, Conflict, FieldType, subsumes, unify
from pool_core.interfaces.values import Finding
from pool_core.recipe.yaml_source import read_yaml
from pool_standard.policies.cures import pair_names
from pool_standard.policies.wiring import Slot, Wiring, cast_slot, collect_slot, group_by_cure
from pool_standard.policies.wording import describe_members, sort_members

__all__ = ["Contract", "ContractConfig"]

#: Whether values of the second type are right where the first, a contract's, is asked for.
Fits: TypeAlias = Callable[[FieldType, FieldType], bool]

_WRITE = "`pool contract write RECIPE`"
#: The same where a contract is there that says something else.
_WRITE_ANEW = "`pool contract write RECIPE --force`"


class ContractConfig(PluginConfig):
    """Options of `Contract`."""

    path: RecipePath = Field(description="The contract, relative to the recipe.")


class Contract(Policy[ContractConfig]):
    """The merged schema satisfies a contract.

    Errors ``contract-removed`` and ``contract-retyped`` break a reader; ``contract-added`` and
    ``contract-narrowed`` inform.
    """

    Config = ContractConfig

    def __init__(self, config: ContractConfig, schema: Mapping[str, FieldType]) -> None:
        super().__init__(config)
        #: What the contract fixes.
        self.schema = schema

    @classmethod
    def build(cls, config: ContractConfig, inner: Sequence[NamedPolicy]) -> Self:
        """Read the contract.

        Raises:
            ValueError: there is none, or the file is not one.
        """
        return cls(config, _read_file(config))

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding for each field that differs from the contract and each fix of it."""
        if not members:
            return []
        wirings = [Wiring(member) for member in sort_members(members)]
        changes = list(compare_schemas(self.schema, merge_schema([wiring.member for wiring in wirings])))
        removed = {change.field: self._want(change.field) for change in changes if change.new is None}
        for wiring in wirings:
            self._restore(wiring, removed)
        blamed = {
            change.field: _fit([w for w in wirings if change.field in w.slots], change.field, self._want(change.field))
            for change in changes
            if change.kind == "retyped"
        }
        return [finding for change in changes for finding in self._report(change, blamed.get(change.field, wirings))]

    def _want(self, field: str) -> FieldType:
        return _make_nullable(self.schema[field])

    def _restore(self, wiring: Wiring, removed: Mapping[str, FieldType]) -> None:
        """Give the fields that are gone: another one that is surely meant, or null."""
        extra = {name: slot for name, slot in wiring.slots.items() if name not in self.schema}
        known = {name: slot for name, slot in extra.items() if slot.kind != "unknown"}
        wiring.rename(pair_names(known, removed, lambda type_, name: fits_contract(removed[name], type_)))
        for name in sorted(removed.keys() - wiring.slots.keys()):
            wiring.add_null(name)

    def _report(self, change: Change, wirings: Sequence[Wiring]) -> Iterator[Finding]:
        """What is said of a change; of a retyped field ``wirings`` are those that are to blame."""
        if change.breaking:
            yield from self._report_cures(change, wirings)
        else:
            giving = [wiring for wiring in wirings if change.field in wiring.member.outputs]
            yield self._make_finding(change, giving, "info", f"No reader breaks. {_WRITE_ANEW} takes it up.")
        if change.breaking and not self.schema[change.field].nullable:
            yield self._make_finding(
                change,
                [],
                "error",
                f"Every field is null where its cell failed: write `{change.field}: {change.old}?` in {self._path}.",
            )

    def _report_cures(self, change: Change, wirings: Sequence[Wiring]) -> Iterator[Finding]:
        """One finding for each fix of these members, and one for those that none helps."""
        curable = [wiring for wiring in wirings if change.field in wiring.changed]
        stuck = [wiring for wiring in wirings if change.field not in wiring.changed]
        for cure, part in group_by_cure(curable).items():
            if cure is None:
                stuck += part
                continue
            hint = cure.say(tuple(wiring.member.name for wiring in part))
            slot = part[0].slots.get(change.field)
            if slot is not None and slot.cast and not slot.cast.startswith("str"):
                hint += " A value that cannot be cast fails its cell."
            yield self._make_finding(change, part, "error", hint, cure.fix)
        if stuck:
            hint = (
                f"No adapter makes it {change.old}: change the task, or have the readers agree "
                f"and write the contract anew with {_WRITE_ANEW}."
            )
            yield self._make_finding(change, stuck, "error", hint)

    def _make_finding(self, change: Change, wirings: Sequence[Wiring], level: str, hint: str, fix: str = "") -> Finding:
        members = sorted((wiring.member for wiring in wirings), key=lambda member: member.name)
        return Finding(
            level="info" if level == "info" else "error",
            rule=f"contract-{change.kind}",
            message=_say_change(change, members, self._path),
            members=tuple(member.name for member in members),
            field=change.field,
            hint=hint,
            fix=fix,
            source="contract",
        )

    @property
    def _path(self) -> str:
        return self.config.path.name


def _read_file(config: ContractConfig) -> dict[str, FieldType]:
    path = config.path
    anew = f"correct it, or make it anew: {_WRITE_ANEW[1:-1]}"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(f"there is no contract {path}; make it with {_WRITE}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the contract {path} cannot be read: {error}; {anew}") from error
    try:
        data, source = read_yaml(text, path)
    except RecipeError as error:
        raise ValueError(f"{error.where}: {error.message}; {anew}") from error
    try:
        return read_contract(data)
    except ContractError as error:
        raise ValueError(f"{source.locate(error.key)}: {error}; {anew}") from error


def _make_nullable(type_: FieldType) -> FieldType:
    """Every field of a merged schema can be null; which member gives the null is nobody's fault."""
    return replace(type_, nullable=True)


def _fit(wirings: Sequence[Wiring], name: str, contract: FieldType) -> list[Wiring]:
    """Collect or cast a field until what is merged fits ``contract``. Returns the members that are to blame.

    First those whose values do not fit together with the contract's; where there is none, those that
    lack part of it; at last all that are not exactly of its type.
    """
    blamed: list[Wiring] = []
    for fits in (_blends, fits_contract, subsumes):
        wrong = [wiring for wiring in wirings if not fits(contract, wiring.slots[name].type)]
        blamed += [wiring for wiring in wrong if wiring not in blamed]
        for wiring in wrong:
            fitting = _convert(wiring.slots[name], contract, fits)
            if fitting is None:
                return blamed
            wiring.set_slot(name, fitting)
        if wrong and fits_contract(contract, _merge(wiring.slots[name].type for wiring in wirings)):
            return blamed
    return blamed


def _blends(contract: FieldType, type_: FieldType) -> bool:
    """Whether values of ``type_`` beside those of ``contract`` still fit it."""
    merged = unify(contract, type_, open_structs=True)
    return not isinstance(merged, Conflict) and fits_contract(contract, merged)


def _convert(slot: Slot, contract: FieldType, fits: Fits) -> Slot | None:
    def shape(base: FieldType, wanted: FieldType) -> FieldType:
        if fits(wanted, base):
            return base
        return wanted if base.nullable or wanted.kind == "any" else replace(wanted, nullable=False)

    tried = (collect_slot(slot), cast_slot(slot, contract, shape))
    return next((new for new in tried if new is not None and fits(contract, new.type)), None)


def _merge(types: Iterable[FieldType]) -> FieldType:
    merged: FieldType | Conflict = NULL
    for type_ in types:
        if not isinstance(merged, Conflict):
            merged = unify(merged, type_, open_structs=True)
    return ANY if isinstance(merged, Conflict) else merged


def _say_change(change: Change, members: Sequence[MemberSignature], path: str) -> str:
    field, old, new = f"the field {change.field!r}", change.old, change.new
    match change.kind:
        case "added" if old is not None:
            return f"{path} has {field} as {old}; in {describe_members(members)} there is more in it, {new}."
        case "added":
            return f"{path} does not have {field} ({new}), which {_say_who(members)}."
        case "narrowed":
            return f"{path} has {field} as {old}; it is only {new} in {describe_members(members)}."
        case "removed":
            return f"{path} has {field} ({old}), and no member gives it."
    if not members:
        return f"{path} has {field} as {old}, and it can be null."
    types = "; ".join(f"{member.outputs[change.field]} in {describe_members([member])}" for member in members)
    return f"{path} has {field} as {old}, which does not hold: {types}."


def _say_who(members: Sequence[MemberSignature]) -> str:
    return f"{describe_members(members)} {'gives' if len(members) == 1 else 'give'}"
