"""Third stage: import the entry modules, one by one, each guarded."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import pluggy

from pool_core import hookspecs
from pool_core.api import Contribution
from pool_core.registry.records import HOOKS, Entry, Kind, Plugin, Record
from pool_core.watchdog import describe_error

__all__ = ["HookManager", "list_missing", "load_plugin"]

_NAME = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_FACTORY = re.compile(r"[\w.]+:\w+")
_SUFFIX = re.compile(r"\.[^A-Z/\\]+")
_MODULE = re.compile(r"[\w.]+")


class _RefusedError(Exception):
    """What a plugin does wrong, in words that need no more."""


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
        _check_unknown(manager, record, module)
        manager.register(module, record.name)
        _check_hooks(manager, module)
        entries = tuple(entry for kind in HOOKS for entry in _collect_entries(manager, record, module, kind))
        return Plugin(record, "active", entries=entries, hooks=_list_other_hooks(manager, module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an import may raise anything, SystemExit included
        manager.unregister(name=record.name)
        return Plugin(record, "failed", _describe_failure(error, record))


def list_missing(contribution: Contribution) -> list[str]:
    """The modules that a contribution needs, that its plugin does not depend on, and that are not installed."""
    return [module for module in contribution.needs if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    """Whether ``module`` can be found. Its parent packages are imported for that, if they are there."""
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _import_entry(record: Record) -> Any:
    module_name, _, attribute = record.module.partition(":")
    with redirect_stdout(sys.stderr):  # what a plugin prints must not stand in a command's output
        module = import_module(module_name)
    return getattr(module, attribute) if attribute else module


def _check_unknown(manager: HookManager, record: Record, module: Any) -> None:
    if known := manager.get_name(module):
        raise _RefusedError(f"its entry module {record.module!r} is already that of the plugin {known!r}")


def _check_hooks(manager: HookManager, module: Any) -> None:
    """Refuse what pluggy lets pass: hooks that do not exist, and ones that nothing would await."""
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            known = [name for name in vars(hookspecs) if name.startswith("pool_")]
            close = get_close_matches(caller.name, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
            raise _RefusedError(f"there is no hook {caller.name!r}; {meant}")
        for impl in caller.get_hookimpls():
            if impl.plugin is module and (iscoroutinefunction(impl.function) or isasyncgenfunction(impl.function)):
                raise _RefusedError(f"the hook {caller.name!r} must be an ordinary function, not async")


def _collect_entries(manager: HookManager, record: Record, module: Any, kind: Kind) -> list[Entry]:
    hook = getattr(manager.hook, HOOKS[kind])
    entries: dict[str, Entry] = {}
    for impl in hook.get_hookimpls():
        if impl.plugin is not module:
            continue
        offered = impl.function() or ()
        if not isinstance(offered, Iterable):
            raise _RefusedError(f"{HOOKS[kind]} must yield Contribution objects, not return {_name_type(offered)}")
        for contribution in offered:
            _check_contribution(contribution, HOOKS[kind])
            if contribution.name in entries:
                raise _RefusedError(f"{HOOKS[kind]} offers {contribution.name!r} twice")
            entries[contribution.name] = Entry(kind, record, contribution)
    return list(entries.values())


def _check_contribution(contribution: object, hook: str) -> None:
    if not isinstance(contribution, Contribution):
        raise _RefusedError(f"{hook} must yield Contribution objects, not {_name_type(contribution)}")
    name, factory = contribution.name, contribution.factory
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _RefusedError(f"{hook}: {name!r} is no name; use small letters, digits and hyphens")
    if not (isinstance(factory, str) and _FACTORY.fullmatch(factory)):
        raise _RefusedError(f"{hook}: the factory {factory!r} is not of the form 'package.module:Class'")
    if not (isinstance(contribution.summary, str) and isinstance(contribution.install, str)):
        raise _RefusedError(f"{hook}: the summary of {name!r}, and what to install for it, must be texts")
    if not _are_texts(contribution.suffixes, _SUFFIX):
        raise _RefusedError(f"{hook}: the suffixes of {name!r} must be a tuple of small endings, such as ('.jsonl',)")
    if not _are_texts(contribution.needs, _MODULE):
        raise _RefusedError(f"{hook}: the needs of {name!r} must be a tuple of module names, such as ('pyarrow',)")


def _are_texts(values: object, form: re.Pattern[str]) -> bool:
    """Whether ``values`` is a tuple of texts: one text alone would pass for a tuple of its letters."""
    return isinstance(values, tuple) and all(isinstance(value, str) and form.fullmatch(value) for value in values)


def _name_type(value: object) -> str:
    return type(value).__name__


def _list_other_hooks(manager: HookManager, module: Any) -> tuple[str, ...]:
    callers = manager.get_hookcallers(module) or ()
    return tuple(sorted(caller.name for caller in callers if caller.name not in HOOKS.values()))


def _describe_failure(error: BaseException, record: Record) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"its import tried to end the process (SystemExit: {error.code})"
    if isinstance(error, ModuleNotFoundError) and error.name:
        entry_module = record.module.partition(":")[0]
        if f"{entry_module}.".startswith(f"{error.name}."):
            return f"its entry module {entry_module!r} is not there. Try: pip install -U {record.distribution}"
        return f"the module {error.name!r} that it imports is not installed"
    return describe_error(error)
