"""The name service: which class is ``text-generation``, and what to say when there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pool_core
from pool_core.api import PLUGIN_API
from pool_core.errors import PluginError
from pool_core.registry.admission import Selection, admit_records, check_required
from pool_core.registry.loading import HookManager, load_plugin
from pool_core.registry.records import IN_PROCESS, Entry, Kind, Plugin, Record
from pool_core.watchdog import CallStoppedError, Watchdog, describe_error

if TYPE_CHECKING:
    from pluggy import HookImpl

    from pool_core.interfaces.values import Finding
    from pool_core.plan.model import Plan

__all__ = ["Registry"]

#: What a factory of each kind must derive from.
_BASES: dict[Kind, str] = {
    "task": "pool_core.interfaces.task:Task",
    "backend": "pool_core.interfaces.backend:Backend",
    "policy": "pool_core.interfaces.policy:Policy",
    "prompt_format": "pool_core.interfaces.prompt_format:PromptFormat",
    "reader": "pool_core.interfaces.data:Reader",
    "writer": "pool_core.interfaces.data:Writer",
}


class Registry:
    """The plugins of one process, in one place and passed on: there is no global one.

    `discover` finds the installed plugins, `register` adds one that lives in this process. A registry
    that a plan was made with is frozen.
    """

    def __init__(self) -> None:
        self._manager = HookManager()
        self._plugins: list[Plugin] = []
        self._frozen = False

    @classmethod
    def discover(cls, selection: Selection | None = None, path: Iterable[str] | None = None) -> Registry:
        """Find, admit and load the installed plugins. A broken one is recorded and stops nothing.

        Without a ``selection`` the variable ``POOL_PLUGINS`` decides (``off``, or names: ``a,b``).
        """
        from pool_core.registry.discovery import discover_records  # noqa: PLC0415 - costs 50 ms

        if selection is None:
            selection = Selection.parse(os.environ.get("POOL_PLUGINS"))
        registry = cls()
        for plugin in admit_records(discover_records(path), selection, pool_core.__version__):
            loaded = load_plugin(registry._manager, plugin.record) if plugin.state == "active" else plugin
            registry._plugins.append(loaded)
        return registry

    def register(self, module: Any, name: str | None = None) -> Plugin:
        """Add a module or object that implements hooks, for notebooks and tests.

        Raises:
            PluginError: it is broken, its name is taken, or the registry is frozen.
        """
        name = name or getattr(module, "__name__", type(module).__name__).rpartition(".")[2].lower()
        if self._frozen:
            raise PluginError(
                f"the plugin {name!r} comes too late: a plan was made with this registry",
                hint="register before running, or make a new registry with Registry.discover()",
            )
        if any(plugin.record.name == name for plugin in self._plugins if plugin.state == "active"):
            raise PluginError(
                f"a plugin named {name!r} is there already", hint="give another name: register(x, name=...)"
            )
        record = Record(name, getattr(module, "__name__", repr(type(module))), IN_PROCESS, "", PLUGIN_API)
        plugin = load_plugin(self._manager, record, module)
        if plugin.state != "active":
            raise PluginError(f"the plugin {name!r} cannot be registered: {plugin.reason}")
        self._plugins.append(plugin)
        return plugin

    def freeze(self) -> None:
        """Refuse further plugins: a plan's names keep their meaning."""
        self._frozen = True

    @property
    def plugins(self) -> Sequence[Plugin]:
        """Every plugin that was found, in every state, sorted by name."""
        return sorted(self._plugins, key=lambda plugin: (plugin.record.name, plugin.record.distribution))

    def entries(self, kind: Kind) -> list[Entry]:
        """Everything of one kind that active plugins offer."""
        return [entry for plugin in self._plugins for entry in plugin.entries if entry.kind == kind]

    def require(self, requirements: Iterable[str]) -> None:
        """Make sure that plugins are active, in versions such as ``pool-x>=0.2``. Raises `PluginError`."""
        check_required(requirements, self._plugins)

    def find(self, kind: Kind, name: str) -> Entry:
        """The one contribution that ``name`` means, short or qualified.

        Raises:
            PluginError: there is none, or several plugins offer it under the short name.
        """
        found = [entry for entry in self.entries(kind) if name in (entry.name, entry.qualified)]
        if len(found) == 1:
            return found[0]
        label = kind.replace("_", " ")
        if found:
            offers = ", ".join(f"{entry.qualified} ({entry.record})" for entry in found)
            installed = [entry.record.distribution for entry in found if entry.record.distribution != IN_PROCESS]
            block = f", or block one: --block {installed[-1]}" if installed else ""
            raise PluginError(
                f"the {label} {name!r} is offered by {len(found)} plugins: {offers}",
                hint=f"write the qualified name{block}",
            )
        raise PluginError(f"there is no {label} named {name!r}", hint=self._suggest(kind, name))

    def find_for_file(self, kind: Kind, path: Path) -> Entry:
        """The reader or writer that answers for a file's ending. Raises `PluginError`."""
        suffix = path.suffix.lower()
        found = [entry for entry in self.entries(kind) if suffix in entry.contribution.suffixes]
        if len(found) == 1:
            return found[0]
        if found:
            raise PluginError(
                f"{', '.join(entry.qualified for entry in found)} all answer for {suffix!r} files",
                where=str(path),
                hint=f"say which one: {kind}: {found[0].qualified}",
            )
        known = sorted({known for entry in self.entries(kind) for known in entry.contribution.suffixes})
        raise PluginError(
            f"no {kind} answers for {suffix!r} files"
            if suffix
            else f"the file has no ending that says which {kind} it needs",
            where=str(path),
            hint=f"known endings: {', '.join(known) or 'none'}. Or name it: {kind}: jsonl",
        )

    def load(self, entry: Entry) -> type[Any]:
        """Import the class that ``entry`` names.

        Raises:
            PluginError: a module it needs is missing, its import fails, or it is of the wrong kind.
        """
        contribution, label = entry.contribution, f"the {entry.kind.replace('_', ' ')} {entry.qualified}"
        missing = [module for module in contribution.needs if not _is_installed(module)]
        if missing:
            raise PluginError(
                f"{label} of {entry.record} needs {', '.join(missing)}, which is not installed",
                hint=f'pip install "{contribution.install or " ".join(missing)}"',
            )
        module_name, _, attribute = contribution.factory.partition(":")
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints must not stand in a command's output
                factory = getattr(import_module(module_name), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{label} of {entry.record} cannot be imported: {type(error).__name__}: {error}",
                hint=f"its factory is {contribution.factory}; report it to the plugin's authors",
            ) from error
        base_module, _, base_name = _BASES[entry.kind].partition(":")
        base = getattr(import_module(base_module), base_name)
        if not (isinstance(factory, type) and issubclass(factory, base)):
            raise PluginError(
                f"{label} of {entry.record} is no {base_name}: {contribution.factory} must derive from it"
            )
        from pydantic import BaseModel  # noqa: PLC0415 - its base has imported it; listing plugins does not

        config = getattr(factory, "Config", None)
        if not (isinstance(config, type) and issubclass(config, BaseModel)):
            raise PluginError(
                f"{label} of {entry.record} has no configuration: {contribution.factory} must have a class "
                "attribute Config, a pydantic model",
                hint="derive it from pool_core.interfaces.config.PluginConfig; it may be empty",
            )
        return factory

    def list_suites(self, plugin: str) -> list[str]:
        """The modules with the conformance classes of an active plugin, as its ``pool_conformance`` names them.

        Raises:
            PluginError: the hook breaks, or names anything but modules.
        """
        found: list[str] = []
        for impl in self._manager.hook.pool_conformance.get_hookimpls():
            if impl.plugin_name != plugin:
                continue
            label = f"pool_conformance of the plugin {plugin!r}"
            try:
                named: list[Any] = list(impl.function() or ())  # type: ignore[call-overload]
            except Exception as error:
                raise PluginError(f"{label} failed: {describe_error(error)}") from error
            if not all(isinstance(module, str) and "." in module for module in named):
                hint = "yield the dotted names of modules, such as 'pool_x.conformance'"
                raise PluginError(f"{label} gives {named!r}", hint=hint)
            found += named
        return found

    def collect_findings(self, plan: Plan, watchdog: Watchdog) -> Iterator[Finding]:
        """What the plugins' ``pool_check_compatibility`` say of a plan. A check that breaks is an error."""
        from pool_core.interfaces.policy import note_slowness  # noqa: PLC0415 - pydantic is heavy
        from pool_core.interfaces.values import Finding  # noqa: PLC0415

        impls = self._manager.hook.pool_check_compatibility.get_hookimpls()
        for impl in sorted(impls, key=lambda impl: impl.plugin_name):
            label = f"the check of the plugin {impl.plugin_name!r}"
            started = perf_counter()
            problem = ""
            found: list[Finding] = []
            try:
                found = watchdog.run(partial(_check, impl, plan), label)
            except CallStoppedError as error:
                problem = str(error)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - fails closed: a broken check lets no plan pass
                problem = f"failed: {describe_error(error)}"
            if problem:
                hint = f"report it to the plugin's authors, or switch it off: --block {impl.plugin_name}"
                found = [Finding("error", "hook-failed", f"{label} {problem}", hint=hint)]
            yield from (one if one.source else replace(one, source=impl.plugin_name) for one in found)
            yield from note_slowness(label, impl.plugin_name, perf_counter() - started)

    def implements(self, hook: str) -> bool:
        """Whether any active plugin implements ``hook``."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def notify(self, hook: str, payload: object, watchdog: Watchdog, deaf: set[str]) -> list[str]:
        """Call a notification hook of every plugin. Returns what went wrong; raises nothing.

        Args:
            deaf: plugins that are not told. One that does not return in time is added to it.
        """
        problems = []
        for impl in getattr(self._manager.hook, hook).get_hookimpls():
            if impl.plugin_name in deaf:
                continue
            label = f"{hook} of the plugin {impl.plugin_name!r}"
            try:
                watchdog.run(partial(_call, impl, payload), label)
            except CallStoppedError as error:
                deaf.add(impl.plugin_name)
                problems.append(f"{label} failed: it {error}; the plugin is told nothing more in this run")
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - a notification must never break a run
                problems.append(f"{label} failed: {describe_error(error)}")
        return problems

    def _suggest(self, kind: Kind, name: str) -> str:
        entries = self.entries(kind)
        names = {known: entry for entry in entries for known in (entry.name, entry.qualified)}
        close = get_close_matches(name, names, n=3, cutoff=0.6)
        lines = []
        if close:
            lines.append("did you mean " + " or ".join(f"{known!r} ({names[known].record})" for known in close) + "?")
        elif entries:
            lines.append("known: " + ", ".join(sorted(entry.name for entry in entries)))
        idle = [
            f"{plugin.record} is {plugin.state}: {plugin.reason}" for plugin in self.plugins if plugin.state != "active"
        ]
        lines += [f"not loaded: {text}" for text in idle]
        if not entries:
            lines.append(
                "no installed plugin offers any; the standard ones are pool-standard, pool-replay and pool-openai"
            )
        return "\n  ".join(lines)


def _call(impl: HookImpl, payload: object) -> Any:
    """Call a hook's implementation with as many of the arguments as it takes."""
    return impl.function(*(payload,)[: len(impl.argnames)])


def _check(impl: HookImpl, plan: Plan) -> list[Finding]:
    """Call a ``pool_check_compatibility``. Raises `TypeError` where it returns anything but findings that hold."""
    from pool_core.interfaces.policy import check_findings  # noqa: PLC0415 - pydantic is heavy

    said = _call(impl, plan)
    return check_findings(() if said is None else said)


def _is_installed(module: str) -> bool:
    """Whether ``module`` can be found. Its parent packages are imported for that, if they are there."""
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
