"""Third stage: import the entry modules, one by one, each guarded."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pluggy

from pool_core import hookspecs
from pool_core.api import Contribution
from pool_core.registry.records import HOOKS, Entry, Kind, Plugin, Record

__all__ = ["HookManager", "load_plugin"]

_NAME = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_FACTORY = re.compile(r"[\w.]+:\w+")


class HookManager(pluggy.PluginManager):
    """A plugin manager that knows the pool's hooks. One per registry: there is no global one."""

    def __init__(self) -> None:
        super().__init__("pool_core")
        self.add_hookspecs(hookspecs)


def load_plugin(manager: HookManager, record: Record, module: Any = None) -> Plugin:
    """Import the entry module of ``record`` and collect what it offers.

    Whatever goes wrong becomes the state ``failed`` with its reason, the attempt to end the process
    included; the manager then knows nothing of the plugin.
    """
    try:
        if module is None:
            module = _import_entry(record)
        manager.register(module, record.name)
        _check_hooks(manager, module)
        entries = tuple(entry for kind in HOOKS for entry in _collect_entries(manager, record, module, kind))
        return Plugin(record, "active", entries=entries, hooks=_list_other_hooks(manager, module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an import may raise anything, SystemExit included
        manager.unregister(name=record.name)
        return Plugin(record, "failed", _describe_failure(error))


def _import_entry(record: Record) -> Any:
    module_name, _, attribute = record.module.partition(":")
    module = import_module(module_name)
    return getattr(module, attribute) if attribute else module


def _check_hooks(manager: HookManager, module: Any) -> None:
    """Refuse what pluggy lets pass: hooks that do not exist, and ones that nothing would await."""
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            raise ValueError(f"there is no hook {caller.name!r}")
        for impl in caller.get_hookimpls():
            if impl.plugin is module and impl.function.__code__.co_flags & 0x280:
                raise ValueError(f"the hook {caller.name!r} must be an ordinary function, not async")


def _collect_entries(manager: HookManager, record: Record, module: Any, kind: Kind) -> list[Entry]:
    hook = getattr(manager.hook, HOOKS[kind])
    entries: dict[str, Entry] = {}
    for impl in hook.get_hookimpls():
        if impl.plugin is not module:
            continue
        for contribution in impl.function() or ():
            _check_contribution(contribution, HOOKS[kind])
            if contribution.name in entries:
                raise ValueError(f"{HOOKS[kind]} offers {contribution.name!r} twice")
            entries[contribution.name] = Entry(kind, record, contribution)
    return list(entries.values())


def _check_contribution(contribution: object, hook: str) -> None:
    if not isinstance(contribution, Contribution):
        raise TypeError(f"{hook} must yield Contribution objects, not {type(contribution).__name__}")
    if not _NAME.fullmatch(contribution.name):
        raise ValueError(f"{hook}: {contribution.name!r} is no name; use small letters, digits and hyphens")
    if not _FACTORY.fullmatch(contribution.factory):
        raise ValueError(f"{hook}: the factory {contribution.factory!r} is not of the form 'package.module:Class'")


def _list_other_hooks(manager: HookManager, module: Any) -> tuple[str, ...]:
    callers = manager.get_hookcallers(module) or ()
    return tuple(sorted(caller.name for caller in callers if caller.name not in HOOKS.values()))


def _describe_failure(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"its import tried to end the process (SystemExit: {error.code})"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the module {error.name!r} that it imports is not installed"
    return f"{type(error).__name__}: {error}"
