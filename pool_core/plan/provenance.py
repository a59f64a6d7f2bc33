"""Which plugins made a plan, and whether they are those of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pool_core
from pool_core.errors import PluginError
from pool_core.registry import Registry
from pool_core.registry.records import IN_PROCESS

__all__ = ["describe_plugins", "refuse_other_plugins"]

MANIFEST = "plan.json"


def describe_plugins(registry: Registry) -> list[dict[str, Any]]:
    """The active plugins as a run's manifest names them: each may decide what comes of the run."""
    return [
        {
            "name": plugin.record.name,
            "distribution": plugin.record.distribution,
            "version": plugin.record.version,
            "editable": plugin.record.editable,
        }
        for plugin in registry.plugins
        if plugin.state == "active"
    ]


def refuse_other_plugins(registry: Registry, run_dir: Path) -> None:
    """Make sure that the core and the active plugins are those that the run in ``run_dir`` was made with.

    Raises:
        PluginError: they differ, or there is no run to compare with.
    """
    path = run_dir / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        made_with = {plugin["name"]: plugin for plugin in manifest["plugins"]}
        core = str(manifest["pool_core"])
        locked = {name: _describe(plugin) for name, plugin in made_with.items()}
    except FileNotFoundError:
        raise PluginError(
            "there is no run whose plugins could be compared",
            where=str(path),
            hint="run once without --locked: the run notes its plugins. Or name another run: --run-dir DIR",
        ) from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise PluginError(
            f"the plugins of the run cannot be read: {type(error).__name__}: {error}",
            where=str(path),
            hint="run once without --locked to write the file anew",
        ) from error
    present = {plugin["name"]: _describe(plugin) for plugin in describe_plugins(registry)}
    idle = {plugin.record.name: f"{plugin.state}: {plugin.reason}" for plugin in registry.plugins}
    differences = [
        *([] if core == pool_core.__version__ else [f"pool-core: {core} in the run, {pool_core.__version__} here"]),
        *_compare(locked, present, idle),
    ]
    if differences:
        raise PluginError(
            "the plugins are not those that the run was made with:\n"
            + "\n".join(f"    {difference}" for difference in differences),
            where=str(path),
            hint=_write_hint(core, made_with.values(), sorted(present.keys() - locked.keys())),
        )


def _describe(plugin: Mapping[str, Any]) -> str:
    text = f"{plugin['distribution']} {plugin['version']}".strip()
    return f"{text} (editable)" if plugin["editable"] else text


def _compare(locked: Mapping[str, str], present: Mapping[str, str], idle: Mapping[str, str]) -> Iterator[str]:
    """One line for each difference, by name. ``idle`` says why a plugin that is there is not active."""
    for name in sorted({*locked, *present}):
        if name not in present:
            yield f"{name}: {locked[name]} in the run, {idle.get(name, 'not installed')}"
        elif name not in locked:
            yield f"{name}: not in the run, {present[name]} here"
        elif locked[name] != present[name]:
            yield f"{name}: {locked[name]} in the run, {present[name]} here"


def _write_hint(core: str, locked: Iterable[Mapping[str, Any]], added: Sequence[str]) -> str:
    """How to get the run's set back; editable plugins and those of a process come from no index."""
    wanted = {f"pool-core=={core}"} | {
        f"{plugin['distribution']}=={plugin['version']}"
        for plugin in locked
        if plugin["distribution"] != IN_PROCESS and plugin["version"] and not plugin["editable"]
    }
    lines = [f"to have them back: pip install {' '.join(sorted(wanted))}"]
    if added:
        lines.append(f"to leave out what is new: {' '.join(f'--block {name}' for name in added)}")
    lines.append("to go on with the plugins that are here: leave --locked out, and the run notes them")
    return "\n  ".join(lines)
