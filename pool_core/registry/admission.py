"""Second stage: which plugins may load. Decided on metadata and switches alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pool_core.api import PLUGIN_API
from pool_core.errors import PluginError, UsageError
from pool_core.registry.records import Plugin, Record

__all__ = ["Selection", "admit_records", "check_required"]

_SWITCH = "--plugins or POOL_PLUGINS"


@dataclass(frozen=True, slots=True)
class Selection:
    """The switches: which plugins are wanted at all. Names of plugins or of distributions."""

    #: None admits all, an empty set none.
    only: frozenset[str] | None = None
    block: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, plugins: str | None, block: Sequence[str] = ()) -> Selection:
        """Read ``off`` or ``a,b`` (the option ``--plugins``, the variable ``POOL_PLUGINS``) and blocked names."""
        only = None
        if plugins is not None:
            names = [name.strip() for name in plugins.split(",") if name.strip()]
            if not names:
                raise UsageError("no plugin is named", where=_SWITCH, hint="write `off`, or names: `a,b`")
            only = frozenset() if names == ["off"] else frozenset(map(canonicalize_name, names))
        return cls(only, frozenset(canonicalize_name(name) for name in block))

    def find_reason_to_block(self, record: Record) -> str:
        """Why ``record`` is switched off; empty where it is wanted."""
        names = {canonicalize_name(record.name), canonicalize_name(record.distribution)}
        if names & self.block:
            return "blocked by --block or the recipe"
        if self.only is not None and not names & self.only:
            return f"not among the plugins that {_SWITCH} names"
        return ""


def admit_records(records: Sequence[Record], selection: Selection, core_version: str) -> list[Plugin]:
    """Judge each record: ``active`` ones may load, the others say why not.

    Raises:
        PluginError: the selection names a plugin that is not installed.
    """
    installed = {canonicalize_name(name) for record in records for name in (record.name, record.distribution)}
    missing = sorted((selection.only or frozenset()) - installed)
    if missing:
        raise PluginError(f"no plugin {', '.join(missing)} is installed", where=_SWITCH, hint="see `pool plugins list`")
    judged = [_judge_record(record, selection, core_version) for record in records]
    return [_judge_claim(plugin, judged) for plugin in judged]


def _judge_record(record: Record, selection: Selection, core_version: str) -> Plugin:
    if reason := selection.find_reason_to_block(record):
        return Plugin(record, "blocked", reason)
    if record.problem:
        return Plugin(record, "failed", record.problem)
    if record.api_major != PLUGIN_API:
        other = "an older" if record.api_major < PLUGIN_API else "a newer"
        mend = f"pip install -U {record.distribution}" if record.api_major < PLUGIN_API else "pip install -U pool-core"
        return Plugin(
            record,
            "incompatible",
            f"made for plugin API {record.api_major}, {other} one; this core speaks {PLUGIN_API}. Try: {mend}",
        )
    if record.requires_core and not SpecifierSet(record.requires_core).contains(core_version, prereleases=True):
        return Plugin(
            record,
            "incompatible",
            f"needs pool-core {record.requires_core}, not {core_version}. Try: pip install -U {record.distribution}",
        )
    return Plugin(record, "active")


def _judge_claim(plugin: Plugin, judged: Sequence[Plugin]) -> Plugin:
    """Refuse a plugin whose name another one claims, of those that could be loaded."""
    name = plugin.record.name
    claimants = [str(other.record) for other in judged if other.state == "active" and other.record.name == name]
    if plugin.state != "active" or len(claimants) == 1:
        return plugin
    return Plugin(
        plugin.record,
        "clashing",
        f"the plugin name {name!r} is claimed by {' and '.join(claimants)}. "
        f"Uninstall one, or block it by its distribution: --block {plugin.record.distribution}",
    )


def check_required(requirements: Iterable[str], plugins: Sequence[Plugin]) -> None:
    """Make sure that the plugins a recipe requires are active, in the versions it asks for.

    Raises:
        PluginError: one is missing, not active or of another version.
    """
    where = "plugins.require"
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise PluginError(f"{text!r} is no requirement: {error}", where=where, hint="as in pool-x>=0.2") from error
        wanted = canonicalize_name(requirement.name)
        found = [
            plugin
            for plugin in plugins
            if wanted in (canonicalize_name(plugin.record.name), canonicalize_name(plugin.record.distribution))
        ]
        active = [plugin for plugin in found if plugin.state == "active"]
        if not found:
            raise PluginError(f"{text!r} is not installed", where=where, hint=f'pip install "{text}"')
        if not active:
            raise PluginError(f"{text!r} is {found[0].state}: {found[0].reason}", where=where)
        for plugin in active:
            if not requirement.specifier.contains(plugin.record.version or "0", prereleases=True):
                raise PluginError(
                    f"{text!r} is asked for, installed is {plugin.record}", where=where, hint=f'pip install -U "{text}"'
                )
